"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator

import pytest

pytest_plugins = ["mongo_fixtures", "engine_fixtures", "postgres_fixtures"]

# A key in the environment of whoever runs the tests must not make them ask a paid language model.
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TEACHER_MODEL"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def no_instance_left() -> Iterator[None]:
    """Dagster keeps the storage of the instance that was opened last in this context, also when it is gone.

    Instances that were opened and closed in another order leave one that no longer exists, and whatever loads
    definitions next fails.
    """
    from dagster._core.storage.defs_state.base import _current_storage

    _current_storage.set(None)  # fixtures of a module or a session close theirs after the last test's end
    yield
    _current_storage.set(None)
