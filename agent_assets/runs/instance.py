"""The Dagster instance of this installation: its folder, its settings, and opening it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from agent_assets.settings import REPOSITORY, Settings, make_home


def prepare_dagster_home(settings: Settings) -> None:
    """Make DAGSTER_HOME with our dagster.yaml, and its databases.

    Two processes that open a brand-new SQLite instance at once race for the same tables: the instance is opened once
    here, before any service starts.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    make_home(settings)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    names = ["dagster.yaml", *(["deploy/dagster-postgres.yaml"] if os.environ.get("DAGSTER_POSTGRES_URL") else [])]
    content = "\n".join((REPOSITORY / name).read_text(encoding="utf-8") for name in names)
    target = settings.dagster_home / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != content:
        target.write_text(content, encoding="utf-8")
    with open_instance(settings) as instance:
        instance.get_run_records(limit=1)


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance in DAGSTER_HOME."""
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance
