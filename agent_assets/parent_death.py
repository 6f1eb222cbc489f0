"""A run ends when the code server that started it is gone, however that ended.

The supervisor of the code server ends its runs, and `up` whatever is left in its process group. A
run has left that group to give way to others (`priority.py`), so when a supervisor is killed
nothing would end its runs: they would train on unwatched, beside those of the next `up`.
"""

import multiprocessing
import os
import select
import signal
import threading
from contextlib import suppress


def end_with_parent() -> None:
    """Kill this process as soon as the one that started it has ended; its engines see that and
    end, too. Does nothing in a process that is no child of `multiprocessing`.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        # Not PR_SET_PDEATHSIG: that follows the thread that started this process.
        threading.Thread(
            target=_watch, args=(parent.pid,), name="parent-death", daemon=True
        ).start()


def _watch(parent: int) -> None:
    with suppress(ProcessLookupError):  # it ended before this
        process = os.pidfd_open(parent)
        select.select([process], [], [])
    os.kill(os.getpid(), signal.SIGKILL)
