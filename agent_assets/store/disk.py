"""Files on a local disk: locks, what a full disk means, what survives a loss of power."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from agent_assets.errors import StoreError, StoreFull, StoreReadOnly
from agent_assets.file_locks import is_locked


def file_lock(path: Path) -> FileLock:
    """The lock of a file, taken with `with`. Who holds it may remove the file: a file that its last
    holder removed is no lock. A file system that knows no locks is an error.
    """
    return FileLock(path, fallback_to_soft=False)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say what to do when the disk is full, or cannot be written to.

    Raises:
        StoreFull: no space is left for what the block writes.
        StoreReadOnly: it may not write there.
    """
    try:
        yield
    except OSError as error:
        known = as_store_error(error, folder)
        if known is None:
            raise
        raise known from error


def as_store_error(error: OSError, folder: Path) -> StoreError | None:
    """The error of a full disk, or of one that may not be written to; None for any other."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(
            f"No space left for the artifact store at {folder}.",
            next_step="free space or point AGENT_ASSETS_STORE elsewhere, then materialize "
            "again; finished artifacts are kept.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreReadOnly(
            f"The artifact store at {folder} cannot be written to ({error.strerror}).",
            next_step="mount it writable, or give this user the right to write there; "
            "`agent-assets doctor` looks again. Nothing was changed.",
        )
    return None


def disk_failure(error: OSError) -> StoreError | None:
    """For whoever is called last: the error of a disk that is full or mounted read-only, wherever
    it was met; None for any other.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return None
    return as_store_error(error, Path(error.filename or "the home"))


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Say that this process works in a folder, until the block, or the process, ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_in_use(folder: Path) -> bool:
    """Whether a process of this machine works in a folder. No clock is asked."""
    return is_locked(folder)


def sync(path: Path) -> None:
    """Have a file or folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
