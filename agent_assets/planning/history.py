"""What Dagster recorded: the one module of this room that reads a Dagster instance."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterEventType
from dagster._core.errors import DagsterInvalidInvocationError
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import select

from agent_assets.planning.facts import Materialization

FINGERPRINT_TAG = "agent_assets/fingerprint"
INCARNATION_TAG = "agent_assets/generation"
BROKEN_TAG = "agent_assets/broken_checks"
PIPELINE_TAG = "agent_assets/pipeline"
ELDER_TAG = "agent_assets/elder"
# Runs that were requested for stale asset partitions carry the digest of what they should reach.
WANTED_TAG = "agent_assets/wanted"
# Dagster hashes the versions of partitioned inputs; ours stand as they are, those of sources among
# them.
INPUT_TAG = "agent_assets.input/"
DATA_VERSION_TAG = "dagster/data_version"
CODE_VERSION_TAG = "dagster/code_version"
_PARTITION_TAG = "dagster/partition"
_RUN_KEY_TAG = "dagster/run_key"

_CHUNK = 1_000


@dataclass(frozen=True)
class Recorded:
    """The latest materialization of an asset, or of one of its partitions."""

    fingerprint: str
    data_version: str
    incarnation: int = 0


@dataclass(frozen=True)
class ActiveRun:
    """A run that is queued or going on. `pipelines` is empty when the run does not say which."""

    run_id: str
    pipelines: frozenset[str]
    partition: str | None


def latest_materialization(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None
) -> Recorded | None:
    """The latest materialization of `key` (of its partition `partition`), or None if there is
    none.
    """
    partitions = None if partition is None else [partition]
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions), limit=1
    )
    if not records.records:
        return None
    materialization = records.records[0].asset_materialization
    if materialization is None or materialization.tags is None:
        return None
    tags = materialization.tags
    if FINGERPRINT_TAG not in tags or DATA_VERSION_TAG not in tags:
        return None
    return Recorded(
        fingerprint=tags[FINGERPRINT_TAG],
        data_version=tags[DATA_VERSION_TAG],
        incarnation=int(tags.get(INCARNATION_TAG, "0")),
    )


class DagsterLog:
    """The materializations of one Dagster instance, read in bulk."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    @property
    def database_id(self) -> str:
        """An id that a wiped and recreated database does not share with the one before."""
        storage = self._instance.run_storage
        if not isinstance(storage, SqlRunStorage):
            raise DagsterInvalidInvocationError(
                f"the run storage {type(storage).__name__} is not an SQL storage"
            )
        return str(storage.get_run_storage_id())

    def latest_ids(self, pipeline: str, asset: str, *, partitioned: bool) -> dict[str | None, int]:
        """Event id of the latest materialization of every partition, in one query; wiped ones are
        left out.
        """
        key = dg.AssetKey([pipeline, asset])
        if not partitioned:
            records = self._instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key), limit=1
            ).records
            return {None: records[0].storage_id} if records else {}
        storage = self._instance.event_log_storage
        return dict(
            storage.get_latest_storage_id_by_partition(
                key, DagsterEventType.ASSET_MATERIALIZATION
            ).items()
        )

    def read(self, storage_ids: Sequence[int]) -> Iterator[Materialization]:
        """The materializations of many events.

        Events are parsed as JSON: building Dagster's own objects takes ten times as long, and only
        tags are needed.
        """
        storage = self._instance.event_log_storage
        if not isinstance(storage, SqlEventLogStorage):
            raise DagsterInvalidInvocationError(
                f"the event log storage {type(storage).__name__} is not an SQL storage"
            )
        table = SqlEventLogStorageTable
        for start in range(0, len(storage_ids), _CHUNK):
            chunk = storage_ids[start : start + _CHUNK]
            query = select(table.c.id, table.c.event).where(table.c.id.in_(chunk))
            with storage.index_connection() as connection:
                rows = connection.execute(query).fetchall()
            for storage_id, event in rows:
                yield _materialization(int(storage_id), event)


def known_partitions(instance: dg.DagsterInstance, name: str) -> list[str]:
    """Keys of a dynamic partition definition, sorted."""
    return sorted(instance.get_dynamic_partitions(name))


def active_runs(instance: dg.DagsterInstance) -> list[ActiveRun]:
    """Every run that is queued or going on."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES)))
    return [_active(run) for run in runs]


def started_keys(instance: dg.DagsterInstance, run_keys: Collection[str]) -> set[str]:
    """Those of these run keys that a run was made for."""
    keys, started = sorted(run_keys), set()
    for start in range(0, len(keys), _CHUNK):
        runs = instance.get_runs(
            filters=dg.RunsFilter(tags={_RUN_KEY_TAG: keys[start : start + _CHUNK]})
        )
        started |= {run.tags[_RUN_KEY_TAG] for run in runs}
    return started


def _active(run: dg.DagsterRun) -> ActiveRun:
    tagged = run.tags.get(PIPELINE_TAG)
    pipelines = {key.path[0] for key in run.asset_selection or ()} | ({tagged} if tagged else set())
    return ActiveRun(run.run_id, frozenset(pipelines), run.tags.get(_PARTITION_TAG))


def _materialization(storage_id: int, event: str) -> Materialization:
    body: Any = json.loads(event)
    tags: dict[str, str] = (
        body["dagster_event"]["event_specific_data"]["materialization"].get("tags") or {}
    )
    inputs = {
        name.removeprefix(INPUT_TAG): value
        for name, value in tags.items()
        if name.startswith(INPUT_TAG)
    }
    return Materialization(
        storage_id=storage_id,
        fingerprint=tags.get(FINGERPRINT_TAG, ""),
        data_version=tags.get(DATA_VERSION_TAG, ""),
        code_version=tags.get(CODE_VERSION_TAG, ""),
        incarnation=int(tags.get(INCARNATION_TAG, "0")),
        broken=tags.get(BROKEN_TAG, ""),
        inputs=inputs,
    )
