"""Runs mongod for as long as anybody uses it: `keeper.py LOCK MONGOD [ARGUMENT ...]`.

Every user holds a shared lock (flock) on the file LOCK, which the kernel takes back however a user
ends. When the lock can be had alone, nobody is left and mongod is ended. It also ends with this
process.

Standard library only, and one thread: PR_SET_PDEATHSIG follows the thread that forked.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TextIO

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5
_WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM})


def main(lock_path: Path, command: list[str]) -> int:
    """Keep mongod until it ends or nobody uses it; returns its exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)  # they wait until the loop asks for them
    keeper, libc = os.getpid(), ctypes.CDLL(None)

    def die_with_keeper() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != keeper:  # it ended before the line above
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)

    mongod = subprocess.Popen(command, preexec_fn=die_with_keeper)  # noqa: PLW1509  there is one thread
    with lock_path.open(encoding="utf-8") as lock:
        while mongod.poll() is None:
            received = signal.sigtimedwait(_WATCHED, _POLL_SECONDS)
            if _nobody_left(lock) or (received is not None and received.si_signo == signal.SIGTERM):
                mongod.terminate()
                mongod.wait()
    return mongod.returncode if mongod.returncode >= 0 else 128 - mongod.returncode


def _nobody_left(lock: TextIO) -> bool:
    """Whether the lock could be had alone. It is kept then: who wants mongod now waits until this
    one is gone.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
