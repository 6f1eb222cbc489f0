"""Secrets that earlier versions left in Dagster's history, and their removal.

Resources once had configuration schemas, and Dagster keeps those with every job: the address of
MongoDB, its password included, lies in (compressed) snapshots, and in the run config of whoever
launched a run with the default one. What is
removed is a piece of text in place: an address of MongoDB that holds a secret, user and password of
any other URL; from logs, too. All else of the history stays as it is, so that the plan still says
what is fresh.
"""

import hashlib
import os
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from agent_assets.privacy import private_folder
from agent_assets.settings import Settings

Cell = str | bytes

# Up to white space or a quote; a backslash belongs to it, unless it escapes one of these in JSON
# (in JSON, ...).
_REST = r'(?:[^\s"\\]|\\+(?![\\"nrt]))*'
_MONGODB = re.compile(rf"mongodb(?:\+srv)?://{_REST}")
_SECRET = re.compile("@|password|token|secret", re.IGNORECASE)
_LOGIN = re.compile(
    r'(\b[a-z][a-z0-9+.-]*://)(?:[^\s"\\/@]|\\+(?![\\"nrt]))*:(?:[^\s"\\/@]|\\+(?![\\"nrt]))+@',
    re.I,
)
_REMOVED = "***"
_SHORTEST_PASSWORD = 8  # a shorter one could be part of a word
_TEXT = re.compile("char|text|clob|blob|bytea|binary", re.IGNORECASE)


def remove_old_secrets(settings: Settings) -> int:
    """Remove what earlier versions left, once per installation and storage; returns how many
    entries and logs had any.

    Other processes may use the history meanwhile. If this is interrupted, the next call begins
    again.
    """
    marker = _marker(settings)
    if marker.exists():
        return 0
    known = _known(settings)
    cleaned = sum(_cleaned(storage, known) for storage in _storages(settings))
    for path in _logs_with_secrets(settings, known):
        _rewrite(path, known)
        cleaned += 1
    private_folder(marker.parent)
    marker.touch()
    return cleaned


def old_secrets(settings: Settings) -> int:
    """How many entries of the history hold secrets. It reads all of it, unless it was cleaned.
    Changes nothing.
    """
    if _marker(settings).exists():
        return 0
    known = _known(settings)
    in_databases = sum(1 for storage in _storages(settings) for _ in _found(storage, known))
    return in_databases + sum(1 for _ in _logs_with_secrets(settings, known))


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    """A text without secrets.

    Args:
        known: passwords that are removed wherever they stand.
    """
    cleaned = _MONGODB.sub(
        lambda match: f"mongodb://{_REMOVED}" if _SECRET.search(match[0]) else match[0], text
    )
    cleaned = _LOGIN.sub(rf"\1{_REMOVED}@", cleaned)
    for password in known:
        cleaned = cleaned.replace(password, _REMOVED)
    return cleaned


@dataclass(frozen=True)
class _Column:
    table: str
    name: str


class _Storage(Protocol):
    """One database of Dagster."""

    def columns(self) -> list[_Column]:
        """Columns that hold text, plain or compressed."""

    def cells(self, column: _Column, known: Iterable[str]) -> Iterator[tuple[object, Cell]]:
        """Cells that may hold a secret, with the key of their row."""

    def write(self, column: _Column, changes: dict[object, Cell]) -> None:
        """Put other content in place, and leave nothing of what was there."""

    def close(self) -> None:
        """Close the connection."""


class _Sqlite:
    """A file. Dagster has one for runs, one for schedules, and one with the events of every run."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._connection.execute(
            "PRAGMA secure_delete = ON"
        )  # what is replaced is overwritten in the file

    def columns(self) -> list[_Column]:
        named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        tables = [row[0] for row in self._connection.execute(named)]
        return [
            _Column(table, row[1])
            for table in tables
            for row in self._connection.execute(f'PRAGMA table_info("{table}")')
            if _TEXT.search(row[2])
        ]

    def cells(self, column: _Column, known: Iterable[str]) -> Iterator[tuple[object, Cell]]:
        cell, needles = f'"{column.name}"', ["://", *known]
        hit = " OR ".join([f"typeof({cell}) = 'blob'", *[f"instr({cell}, ?) > 0"] * len(needles)])
        yield from self._connection.execute(
            f'SELECT rowid, {cell} FROM "{column.table}" WHERE {hit}', needles
        )

    def write(self, column: _Column, changes: dict[object, Cell]) -> None:
        statement = f'UPDATE "{column.table}" SET "{column.name}" = ? WHERE rowid = ?'
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(statement, [(cell, key) for key, cell in changes.items()])
        self._connection.execute("COMMIT")
        self._connection.execute("VACUUM")  # rows that were deleted earlier may have held it, too
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._connection.close()


class _Postgres:
    """All of it in one database. VACUUM of the server decides when old versions of rows are gone
    from its files.
    """

    def __init__(self, url: str) -> None:
        import sqlalchemy as db

        self._engine = db.create_engine(url)
        self._tables = db.MetaData()
        self._tables.reflect(self._engine)

    def columns(self) -> list[_Column]:
        return [
            _Column(table.name, column.name)
            for table in self._tables.sorted_tables
            for column in table.columns
            if _TEXT.search(str(column.type)) and len(table.primary_key.columns) == 1
        ]

    def cells(self, column: _Column, known: Iterable[str]) -> Iterator[tuple[object, Cell]]:
        import sqlalchemy as db

        table = self._tables.tables[column.table]
        cell = table.columns[column.name]
        (key,) = table.primary_key.columns
        binary = isinstance(cell.type, db.LargeBinary)
        conditions = (
            [cell.is_not(None)]
            if binary
            else [cell.contains(part, autoescape=True) for part in ("://", *known)]
        )
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(
                db.select(key, cell).where(db.or_(*conditions))
            ):
                yield row[0], bytes(row[1]) if binary else row[1]

    def write(self, column: _Column, changes: dict[object, Cell]) -> None:
        table = self._tables.tables[column.table]
        (key,) = table.primary_key.columns
        with self._engine.begin() as connection:
            for at, cell in changes.items():
                connection.execute(table.update().where(key == at).values({column.name: cell}))

    def close(self) -> None:
        self._engine.dispose()


def _storages(settings: Settings) -> Iterator[_Storage]:
    for path in sorted(settings.dagster_home.rglob("*.db")):
        with closing(_Sqlite(path)) as storage:
            yield storage
    if url := _postgres_url():
        with closing(_Postgres(url)) as database:
            yield database


def _cleaned(storage: _Storage, known: tuple[str, ...]) -> int:
    changes: dict[_Column, dict[object, Cell]] = {}
    for column, key, cell in _found(storage, known):
        changes.setdefault(column, {})[key] = cell
    for column, cells in changes.items():
        storage.write(column, cells)
    return sum(len(cells) for cells in changes.values())


def _found(storage: _Storage, known: tuple[str, ...]) -> Iterator[tuple[_Column, object, Cell]]:
    """Where a secret is: column, key of the row, and the cell without it."""
    for column in storage.columns():
        for key, cell in storage.cells(column, known):
            without = _cell_without(cell, known)
            if without is not None:
                yield column, key, without


def _cell_without(cell: Cell, known: tuple[str, ...]) -> Cell | None:
    """A cell without secrets; None when there are none. Snapshots are JSON, compressed by zlib."""
    compressed = isinstance(cell, bytes)
    try:
        text = zlib.decompress(cell).decode("utf-8") if isinstance(cell, bytes) else cell
    except (zlib.error, UnicodeDecodeError):
        return None  # no text
    cleaned = without_secrets(text, known)
    if cleaned == text:
        return None
    return zlib.compress(cleaned.encode()) if compressed else cleaned


def _logs_with_secrets(settings: Settings, known: tuple[str, ...]) -> Iterator[Path]:
    """What runs and services printed. Logs can be large: they are read line by line."""
    for path in sorted(
        [*settings.dagster_home.rglob("compute_logs/*"), *(settings.home / "logs").rglob("*")]
    ):
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
                if any(without_secrets(line, known) != line for line in lines):
                    yield path


def _rewrite(path: Path, known: tuple[str, ...]) -> None:
    """Put a log without secrets in the place of one that has some; a process that still writes goes
    on with the old.
    """
    partial = path.with_name(f".{path.name}.without-secrets")
    with (
        path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as output,
    ):
        output.writelines(without_secrets(line, known) for line in lines)
    partial.replace(path)


def _known(settings: Settings) -> tuple[str, ...]:
    """The password of MONGODB_URI, as it is and as it appears in a URI."""
    password = urlsplit(settings.mongodb_uri or "").password
    if not password or len(password) < _SHORTEST_PASSWORD:
        return ()
    return tuple(sorted({password, quote(password, safe="")}))


def _marker(settings: Settings) -> Path:
    storage = hashlib.sha256((_postgres_url() or "sqlite").encode()).hexdigest()[:8]
    return settings.secrets / f"history-cleaned-{storage}"


def _postgres_url() -> str | None:
    return os.environ.get("DAGSTER_POSTGRES_URL") or None
