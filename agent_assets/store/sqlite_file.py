"""A small SQLite file that can be made anew: short transactions, and what damage and a full disk
mean.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_assets.errors import StoreError, StoreFull, StoreReadOnly

log = logging.getLogger("agent_assets.store")
_WAIT_SECONDS = 60.0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_PRIMARY = 0xFF  # the low byte of an extended result code


class SqliteDamaged(StoreError):
    """The file was damaged; it was set aside, and the next transaction begins with an empty one."""


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose statements take effect together at the end of the block, or not at all.

    Blocks take turns across processes: one that reads first and writes later never works on old
    rows.

    Raises:
        SqliteDamaged: the file is no database, or a page of it cannot be read.
        StoreFull: no space is left; nothing of the block took effect.
        StoreReadOnly: this process may not write to the file.
    """
    try:
        with _connected(path) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise _as_ours(error, path) from error


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:  # SQLite ends it itself when the disk is full
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    finally:
        connection.close()


def _as_ours(error: sqlite3.DatabaseError, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code in _DAMAGED:
        aside = _set_aside(path)
        return SqliteDamaged(
            f"{path} was damaged; it is {aside.name} now.",
            next_step="try again: it is made anew from Dagster's history and the sources.",
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"No space left for {path}.", next_step="free space, then try again.")
    if code in _READ_ONLY:
        return StoreReadOnly(
            f"{path} cannot be written to.", next_step=f"let this user write to {path.parent}."
        )
    return error


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    path.rename(aside)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    log.error("a database was damaged and set aside: %s", aside)
    return aside
