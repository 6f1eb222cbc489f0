"""Models and adapters that the RL tests share."""

import json
import os
import shutil
from pathlib import Path

import pytest

from agent_assets.engines.environment import EngineEnv, find_engine_env
from agent_assets.errors import EngineMissing


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model of `two_doors` and a neutral adapter for it.

    Made once, a minute of training, though each worker of pytest-xdist has its own session.
    """
    from filelock import FileLock

    from support.two_doors import models

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "doors-model"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            half = shared.with_name("doors-half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            models(half, _engine_env())
            half.rename(shared)
    folder = tmp_path_factory.mktemp("doors")
    shutil.copytree(shared, folder, dirs_exist_ok=True)
    return folder


def _engine_env() -> EngineEnv:
    """The environment that is installed: a machine with a GPU may have no other."""
    try:
        return find_engine_env("cpu")
    except EngineMissing:
        return find_engine_env("gpu")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter whose weights nobody loads."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    settings = {
        "r": 16,
        "lora_alpha": 32,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": "base:0123456789ab",
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
