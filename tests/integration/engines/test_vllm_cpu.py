"""Adapters on a CPU: our products against vLLM's own code."""

import json
import subprocess

import pytest

from agent_assets.engines.environment import EngineEnv, engine_environment
from support.launching import SUPPORT

pytestmark = pytest.mark.engine


def test_adapters_add_what_vllm_adds(engine_env: EngineEnv) -> None:
    program = SUPPORT / "programs" / "compare_adapters.py"
    done = subprocess.run(
        [str(engine_env.python), str(program)],
        env=engine_environment({"VLLM_PLUGINS": "none"}),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    differences = json.loads(done.stdout.splitlines()[-1])
    assert len(differences) == 9
    assert max(differences.values()) < 1e-5, differences
