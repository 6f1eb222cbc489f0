"""The engine environment and the tiny model, made once for all tests."""

from pathlib import Path

import pytest

from agent_assets.engines.environment import EngineEnv, find_engine_env
from support.tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def engine_env() -> EngineEnv:
    """The environment with the engines' libraries."""
    return find_engine_env("cpu")


@pytest.fixture(scope="session")
def tiny_model(engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random model that loads, trains and serves in seconds. Tests must not write into
    it.
    """
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"), engine_env)
