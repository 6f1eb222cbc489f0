"""Whether somebody holds a lock of a file or folder. Standard library only: engines import it."""

import fcntl
import os
from pathlib import Path


def is_locked(path: Path) -> bool:
    """Whether a process of this machine holds a lock (`flock`) of `path`; not, if it is absent."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
