"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator

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
def environment_as_before() -> Iterator[None]:
    """A test that leaves variables of an installation behind fails itself, not one of those after
    it.
    """
    before = installation_variables()
    yield
    after = installation_variables()
    if after != before:
        for name in after.keys() | before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)
        pytest.fail(f"left in the environment: {sorted(after.items() ^ before.items())}")


def installation_variables() -> dict[str, str]:
    ours = ("AGENT_ASSETS_", "MONGODB_", "DAGSTER_HOME")
    return {name: value for name, value in os.environ.items() if name.startswith(ours)}


@pytest.fixture(autouse=True)
def no_instance_left(environment_as_before: None, monkeypatch: pytest.MonkeyPatch) -> None:
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
