"""Files on a local disk: locks, what a full disk means, what survives a loss of power."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from agent_assets.errors import StoreFull


def locked(path: Path) -> IO[str]:
    """The file at `path`, open and locked; one that its last holder removed meanwhile is no
    lock.
    """
    while True:
        handle = path.open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        handle.close()


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say what to do when the disk is full.

    Raises:
        StoreFull: no space is left for what the block writes.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"No space left for the artifact store at {folder}.",
                next_step="free space or point AGENT_ASSETS_STORE elsewhere, then materialize "
                "again; finished artifacts are kept.",
            ) from error
        raise


def sync(path: Path) -> None:
    """Have a file or folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
