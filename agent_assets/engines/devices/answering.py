"""Whether somebody is being answered on this machine's cores: a trainer beside it then leaves one
core alone.

With a thread on every core, each step of a training waits at its barriers for the thread that
shares a core with the answering server: priorities alone do not help, because all threads of the
trainer wait for the slowest of them. The sign is a shared file lock, so that it goes with the
process that gave it.
"""

import fcntl
from pathlib import Path
from typing import TextIO

from agent_assets.file_locks import is_locked

VARIABLE = "AGENT_ASSETS_ANSWERING"


def answering_file(leases: Path) -> Path:
    """The file that is locked while somebody is being answered; in the folder of the leases."""
    return leases / "answering.lock"


class AnswerSignal:
    """Says during every answer that it goes on. For one thread, such as an event loop's.

    Args:
        file: see `answering_file`; made on first use.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._answers = 0
        self._lock: TextIO | None = None

    def begin(self) -> None:
        """Before an answer."""
        if self._answers == 0:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._file.open("a", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # a trainer that looks holds it for microseconds
        self._answers += 1

    def end(self) -> None:
        """After it."""
        self._answers -= 1
        if self._answers == 0 and self._lock is not None:
            self._lock.close()
            self._lock = None


def is_answering(file: Path) -> bool:
    """Whether somebody is being answered now."""
    return is_locked(file)
