"""The latest materialization of every (asset, partition), from Dagster through the index."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from agent_assets.planning.facts import Latest, Materialization, PipelineFacts
from agent_assets.planning.index import PlanIndex


class MaterializationLog(Protocol):
    """Where materializations are recorded; `history.DagsterLog` is the one there is."""

    @property
    def database_id(self) -> str:
        """Changes when the log is wiped and starts anew."""

    def latest_ids(self, pipeline: str, asset: str, *, partitioned: bool) -> dict[str | None, int]:
        """Event id of the latest materialization by partition."""

    def read(self, storage_ids: Sequence[int]) -> Iterator[Materialization]:
        """The materializations of these events, in any order."""


def read_latest(
    log: MaterializationLog, index: PlanIndex, pipelines: Iterable[PipelineFacts]
) -> dict[tuple[str, str], Latest]:
    """Latest materializations by (pipeline, asset) and partition.

    One query per asset says which event is the latest of each partition; only events the index
    lacks are read. The `inputs` of what is returned may be empty: `read_inputs` reads them for the
    few that need explaining.
    """
    latest = {
        (pipeline.name, stage.name): log.latest_ids(
            pipeline.name, stage.name, partitioned=stage.partitioned
        )
        for pipeline in pipelines
        for stage in pipeline.stages
    }
    with index.open() as connection:
        _forget_other_database(connection, log.database_id)
        known = {key: _load(connection, "/".join(key)) for key in latest}
        missing = {
            storage_id: (key, partition)
            for key, ids in latest.items()
            for partition, storage_id in ids.items()
            if storage_id not in known[key]
        }
        for materialization in log.read(sorted(missing)):
            key, partition = missing[materialization.storage_id]
            known[key][materialization.storage_id] = materialization
            _insert(connection, "/".join(key), partition, materialization)
        for key, ids in latest.items():
            _forget_superseded(connection, known[key], set(ids.values()))
    return {key: _ours(ids, known[key]) for key, ids in latest.items()}


def read_inputs(index: PlanIndex, storage_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Data versions of what each of these materializations was made from."""
    ids = sorted(storage_ids)
    inputs: dict[int, dict[str, str]] = {}
    with index.open() as connection:
        for start in range(0, len(ids), 10_000):
            chunk = ids[start : start + 10_000]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT storage_id, inputs FROM materializations WHERE storage_id IN ({marks})"
            for storage_id, text in connection.execute(query, chunk):
                with suppress(ValueError):  # a damaged row explains nothing, and stops nothing
                    inputs[storage_id] = json.loads(text)
    return inputs


def _ours(ids: Mapping[str | None, int], known: Mapping[int, Materialization]) -> Latest:
    """A materialization without a fingerprint was reported by something else: nothing can be said
    about it.
    """
    pairs = ((partition, known.get(storage_id)) for partition, storage_id in ids.items())
    return {
        partition: materialization
        for partition, materialization in pairs
        if materialization is not None and materialization.fingerprint
    }


def _forget_other_database(connection: sqlite3.Connection, database: str) -> None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'database'").fetchone()
    if row is None or row[0] != database:
        connection.execute("DELETE FROM materializations")
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('database', ?)", (database,))


def _load(connection: sqlite3.Connection, asset: str) -> dict[int, Materialization]:
    query = (
        "SELECT storage_id, fingerprint, data_version, code_version, generation, broken "
        "FROM materializations WHERE asset = ?"
    )
    return {row[0]: Materialization(*row) for row in connection.execute(query, (asset,))}


def _insert(
    connection: sqlite3.Connection,
    asset: str,
    partition: str | None,
    materialization: Materialization,
) -> None:
    values = (
        materialization.storage_id,
        asset,
        partition,
        materialization.fingerprint,
        materialization.data_version,
        materialization.code_version,
        materialization.incarnation,
        materialization.broken,
        json.dumps(dict(materialization.inputs)),
    )
    connection.execute(
        "INSERT OR REPLACE INTO materializations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values
    )


def _forget_superseded(
    connection: sqlite3.Connection, known: Mapping[int, Materialization], latest: Collection[int]
) -> None:
    gone = [(storage_id,) for storage_id in known if storage_id not in latest]
    connection.executemany("DELETE FROM materializations WHERE storage_id = ?", gone)
