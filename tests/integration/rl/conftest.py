"""Test helpers beside the tests, those of synthesis, and the tiny model of the whole suite are importable by name."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent.parent, HERE.parent / "synthesis"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model of `two_doors` and a neutral adapter for it."""
    from two_doors import models

    from agent_assets.engines.environment import find_engine_env

    folder = tmp_path_factory.mktemp("doors")
    models(folder, find_engine_env("cpu"))
    return folder
