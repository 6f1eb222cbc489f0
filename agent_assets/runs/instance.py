"""The Dagster instance of this installation: its folder, its settings, and opening it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from agent_assets.privacy import make_home
from agent_assets.runs.device_queue import GPU_POOL
from agent_assets.settings import Settings

# QueuedRunCoordinatorDaemon.daemon_type(), whose module takes a second to import.
_PACKAGED = Path(__file__).resolve().parent / "dagster.yaml"
_POSTGRES = Path(__file__).resolve().parent / "dagster-postgres.yaml"
_QUEUE_DAEMON = "QUEUED_RUN_COORDINATOR"


def prepare_dagster_home(settings: Settings, *, devices: int | None = None) -> None:
    """Make DAGSTER_HOME with our dagster.yaml, and its databases.

    Args:
        devices: how many runs may hold a device at once; None leaves it as it is (one in a new
            home).

    Two processes that open a brand-new SQLite instance at once race for the same tables: the
    instance is opened once here, before any service starts.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    make_home(settings)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    files = [_instance_file(settings), *([_POSTGRES] if settings.postgres_url else [])]
    content = "\n".join(path.read_text(encoding="utf-8") for path in files)
    target = settings.dagster_home / "dagster.yaml"
    content = _limited(content, _devices_of(target) if devices is None else devices)
    if not target.exists() or target.read_text(encoding="utf-8") != content:
        target.write_text(content, encoding="utf-8")
    with open_instance(settings) as instance:
        instance.get_run_records(limit=1)
        _limit_pool(instance)


def _instance_file(settings: Settings) -> Path:
    """dagster.yaml of the project; ours where it has none."""
    own = settings.project.folder / "dagster.yaml" if settings.project else None
    return own if own and own.is_file() else _PACKAGED


def _limit_pool(instance: dg.DagsterInstance) -> None:
    """Write the limit of the pool down, unless an operator has set one. The queue reads the limits
    before it makes those that are not there: it would let the first runs of a new home pass.
    """
    storage = instance.event_log_storage
    known = {pool.name: pool for pool in storage.get_pool_limits()}
    default = instance.global_op_concurrency_default_limit
    if GPU_POOL not in known or (known[GPU_POOL].from_default and known[GPU_POOL].limit != default):
        storage.initialize_concurrency_limit_to_default(GPU_POOL)


def _limited(content: str, devices: int) -> str:
    """dagster.yaml with room for so many runs that hold a device, one that prepares, and two that
    need none.
    """
    content = re.sub(r"(?m)^( +default_limit: )\d+", rf"\g<1>{devices + 1}", content)
    return re.sub(r"(?m)^( +max_concurrent_runs: )\d+", rf"\g<1>{devices + 3}", content)


def _devices_of(target: Path) -> int:
    """For how many devices a dagster.yaml was written; one where pools held steps, or where there
    is none.
    """
    content = target.read_text(encoding="utf-8") if target.exists() else ""
    limit = re.search(r"(?m)^ +default_limit: (\d+)\n +granularity: run", content)
    return int(limit[1]) - 1 if limit else 1


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance in DAGSTER_HOME."""
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance


def heartbeat_at(instance: dg.DagsterInstance) -> float:
    """When the daemon last said that it takes runs from the queue, in seconds since 1970; 0 when it
    never did.
    """
    heartbeat = instance.get_daemon_heartbeats().get(_QUEUE_DAEMON)
    return 0.0 if heartbeat is None else heartbeat.timestamp
