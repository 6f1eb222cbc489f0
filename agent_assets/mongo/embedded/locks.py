"""Locked files: who starts, stops or uses a mongod."""

import fcntl
import time
from pathlib import Path
from typing import TextIO

from agent_assets.errors import MongoUnavailable

_POLL_SECONDS = 0.05


def lock(path: Path, kind: int, timeout_s: float) -> TextIO:
    """Open and lock a file; closing it, or the end of the process, frees the lock.

    Raises:
        MongoUnavailable: others held it for `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    file = path.open("w", encoding="utf-8")
    while not locked(file, kind):
        if time.monotonic() > deadline:
            file.close()
            raise MongoUnavailable(
                f"Another process has been starting or stopping mongod on {path.parent} for "
                f"{timeout_s:g} s.",
                next_step="end that process, or wait for it.",
            )
        time.sleep(_POLL_SECONDS)
    return file


def locked(file: TextIO, kind: int) -> bool:
    """Try to lock an open file, without waiting."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
