"""Test helpers beside the tests, those of synthesis, and the tiny model of the whole suite are importable by name."""

import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent.parent, HERE.parent / "synthesis"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model of `two_doors` and a neutral adapter for it.

    Made once, a minute of training, though each worker of pytest-xdist has its own session.
    """
    from filelock import FileLock
    from two_doors import models

    from agent_assets.engines.environment import find_engine_env

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "doors-model"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            half = shared.with_name("doors-half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            models(half, find_engine_env("cpu"))
            half.rename(shared)
    folder = tmp_path_factory.mktemp("doors")
    shutil.copytree(shared, folder, dirs_exist_ok=True)
    return folder
