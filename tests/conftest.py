"""Fixtures shared by all tests."""

import os

import pytest

pytest_plugins = [
    "support.outside",
    "support.mongo_fixtures",
    "support.engine_fixtures",
    "support.postgres_fixtures",
]

# A key in the environment of whoever runs the tests must not make them ask a paid language model.
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TEACHER_MODEL"):
    os.environ.pop(name, None)

# Two tests at once share the cores. Threads of a training that spin at their barriers, each waiting
# for one that has lost its core, make twenty times fewer steps than threads that sleep there.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def no_instance_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster keeps the storage of the instance that was opened last, also when it is gone, and
    loads by it.

    Instances closed in another order than they were opened leave one behind. So does the garbage
    collector, at any time: it ends the context of an instance that nobody closed, which puts back
    what stood there before.
    """
    from dagster._core.storage.defs_state.base import DefsStateStorage, _current_storage

    def of_an_instance_that_lives() -> object:
        storage = _current_storage.get()
        instance = getattr(storage, "_instance_weakref", None)
        return None if instance is None or instance() is None else storage

    _current_storage.set(
        None
    )  # fixtures of a module or a session close theirs after the last test's end
    monkeypatch.setattr(DefsStateStorage, "get", of_an_instance_that_lives)
