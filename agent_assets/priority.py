"""Who goes first on the cores: a run that still prepares lets the training beside it go first.

Linux counts niceness in two places. Where it groups processes by session (autogroup, the usual
kernel outside of control groups), the niceness of a process counts within its session alone; the
session has a niceness of its own, which may be lowered again without privileges. Elsewhere the
niceness of the process counts, and lowering it again takes a privilege: a process that lacks it
keeps the niceness it has.
"""

import multiprocessing
import os
import resource
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LOWEST = 19
# The code server's and that of its runs which need no device.
RUN_NICENESS = 10
_SESSION = Path("/proc/self/autogroup")
_TASKS = Path("/proc/self/task")
_STATUS = Path("/proc/self/status")
_CAP_SYS_NICE = 1 << 23  # capabilities(7)


def set_session_niceness(niceness: int) -> None:
    """Set the niceness of this process's session, where the kernel has such a thing. Two changes
    within a tenth of a second are refused: then the first one stands.
    """
    if _SESSION.exists():
        with suppress(OSError):
            _SESSION.write_text(str(niceness), encoding="ascii")


class RunPriority:
    """The priority of a process that executes one run.

    A run in the terminal of a person stays in that terminal's session, as Ctrl-C must reach it, and
    keeps its priority.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        self._gives_way = False

    def give_way(self) -> None:
        """Let everything else go first: for work whose result something else is not waiting for."""
        if self._gives_way or multiprocessing.parent_process() is None:
            return
        self._gives_way = True
        if os.getsid(0) != os.getpid():
            os.setsid()
        set_session_niceness(LOWEST)
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        if _may_lower_to(niceness):
            self._before = niceness
            _set_niceness(LOWEST)

    def take_turn(self, session_niceness: int) -> None:
        """Back to the priority from before `give_way`."""
        if not self._gives_way:
            return
        self._gives_way = False
        set_session_niceness(session_niceness)
        if self._before is not None:
            _set_niceness(self._before)

    def child_command(self, command: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
        """A command for a child in a session of its own, which gives way as this process does.

        A new session begins at niceness 0, before everything that works in the background.
        """
        known = shutil.which(command) is not None  # else its own error says more than a shell's
        if not self._gives_way or not known or not _SESSION.exists():
            return command, list(arguments)
        lower = f'echo {LOWEST} 2>/dev/null >{_SESSION}; exec "$0" "$@"'
        return "/bin/sh", ["-c", lower, command, *arguments]


RUN_PRIORITY = RunPriority()


def _may_lower_to(niceness: int) -> bool:
    """Whether this process may return to a niceness after it raised it."""
    if not _STATUS.exists():  # not Linux
        return False
    if niceness >= 20 - resource.getrlimit(resource.RLIMIT_NICE)[0]:
        return True
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) & _CAP_SYS_NICE)


def _set_niceness(niceness: int) -> None:
    """Of all threads: Linux keeps one for each."""
    tasks = [int(task.name) for task in _TASKS.iterdir()] if _TASKS.exists() else [0]
    for task in tasks:
        with suppress(ProcessLookupError):  # a thread that ended meanwhile
            os.setpriority(os.PRIO_PROCESS, task, niceness)
