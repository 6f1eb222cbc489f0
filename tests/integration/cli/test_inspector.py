"""`agent-assets mcp inspect` with the real inspector, in its command line mode, on the servers that
ship.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_assets.cli.mcp.inspector import run_inspector
from agent_assets.errors import ConfigError
from support.synthesis_runs import DEFS

ROOT = Path(__file__).parents[3]
INSPECTOR = ROOT / ".venvs" / "test-inspector" / "node_modules" / ".bin"


def inspect(pipeline: str, *arguments: str) -> dict[str, object]:
    """What the inspector prints of a pipeline's server."""
    config = DEFS / pipeline / "mcp_config.json"
    command = [str(Path(sys.executable).with_name("agent-assets")), "mcp", "inspect"]
    done = subprocess.run(
        [*command, "--config", str(config), *arguments],
        env={**os.environ, "PATH": f"{INSPECTOR}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_both_servers_that_ship_open_in_the_inspector() -> None:
    listed = inspect("elder_companion", "memories", "--cli", "--method", "tools/list")
    assert "search_memories" in json.dumps(listed)
    call = ("--cli", "--method", "tools/call", "--tool-name", "get_current_date")
    assert "2025-04-22" in json.dumps(inspect("energy_expert", "energy", *call))


def test_a_server_that_there_is_not_and_a_machine_without_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = DEFS / "energy_expert" / "mcp_config.json"
    with pytest.raises(ConfigError, match=r"no enabled server 'gas'. Next: name one of energy"):
        run_inspector(config, "gas", ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"needs Node.js.* Next: install Node.js 22"):
        run_inspector(config, "energy", ())
