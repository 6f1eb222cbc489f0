"""The plan's own index: one SQLite file with what was already read, so that the next plan costs
what changed.

Everything in it can be read again from Dagster and the sources: losing the file costs time, never
correctness. A damaged file is set aside and made anew. It holds ids, hashes and counts, no memory
text.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_assets.store.sqlite_file import SqliteDamaged, transaction

FILE = "index.sqlite"

# `database` is `history.database_id`: event ids of a wiped database mean nothing in the next one.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS materializations (
    storage_id INTEGER PRIMARY KEY, asset TEXT NOT NULL, partition TEXT, fingerprint TEXT NOT NULL,
    data_version TEXT NOT NULL, code_version TEXT NOT NULL, generation INTEGER NOT NULL,
    broken TEXT NOT NULL,
    inputs TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS materializations_asset ON materializations (asset);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS elders (
    scope TEXT NOT NULL, elder TEXT NOT NULL, mark TEXT NOT NULL, checksum TEXT, digest TEXT,
    moved_at REAL NOT NULL, gone_since REAL, skipped TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (scope, elder)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (
    scope TEXT NOT NULL, question TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (scope, question)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shared_sources (
    pipeline TEXT NOT NULL, stage TEXT NOT NULL, versions TEXT NOT NULL, data TEXT,
    read_at REAL NOT NULL,
    PRIMARY KEY (pipeline, stage)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    pipeline TEXT NOT NULL, partition TEXT NOT NULL, wanted TEXT NOT NULL, round TEXT NOT NULL,
    run_key TEXT NOT NULL, requested_at REAL NOT NULL, PRIMARY KEY (pipeline, partition)
) WITHOUT ROWID;
"""
_VERSION = 3


class PlanIndex:
    """The index below one folder. Several processes may use it: every write is one short
    transaction.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        try:
            self._prepare()
        except SqliteDamaged:
            self._prepare()

    def _prepare(self) -> None:
        with self.open() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):  # made by another release: start anew
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                ).fetchall():
                    connection.execute(f"DROP TABLE {name}")
            # executescript would end the transaction
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, as `transaction` has it."""
        with transaction(self.path) as connection:
            yield connection


def counts_in_row(text: str) -> dict[str, int] | None:
    """Counts by name as a row keeps them; None where the row is damaged: then it is read again."""
    try:
        counts: dict[str, int] = json.loads(text)
    except ValueError:
        return None
    return counts
