"""SQLite files that keep nothing of what was deleted."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agent_assets.errors import ErasureError

_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.2


@contextmanager
def writable(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that overwrites what it deletes; its statements take effect at once."""
    with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        yield connection


def compact(path: Path) -> None:
    """Rewrite a file without its free pages, and empty the log beside it.

    Raises:
        ErasureError: another process reads the file for longer than a minute.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    with writable(path) as connection:
        connection.execute("VACUUM")
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise ErasureError(
                    f"{path} is being read for so long that it cannot be compacted.",
                    next_step="stop what reads it; `agent-assets erase` goes on then.",
                )
            time.sleep(_PAUSE_SECONDS)
