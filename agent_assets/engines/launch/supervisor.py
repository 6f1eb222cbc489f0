"""Runs a program as its child and makes sure that nothing of it outlives the process that asked for
it.

    python -m agent_assets.engines.launch.supervisor [OPTION ...] --module NAME [ARGUMENT ...]
    python -m agent_assets.engines.launch.supervisor [OPTION ...] --exec PROGRAM [ARGUMENT ...]

It sits between a run worker and an engine and does nothing but wait. When the worker is gone (also
by `kill -9`), or on SIGTERM, it ends the program and everything the program started, then itself;
SIGQUIT ends it without the time of grace. It exits the way the program did. A module gets a folder
of its own for temporary files, removed at the end: vLLM leaves sockets behind when it is killed.

Why a process of its own and not PR_SET_PDEATHSIG in the engine: that signal follows the *thread*
that forked, not the process, so an engine started from a thread would die with the thread; it does
not reach grandchildren (vLLM's engine core); and a watcher thread inside the engine can starve.
This process has one thread, so for the program, its own child, PR_SET_PDEATHSIG is right; as "child
subreaper" it inherits every descendant whose parent died: none can hide.

Standard library only: it runs in every environment.
"""

import argparse
import ctypes
import fcntl
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from agent_assets.priority import set_session_niceness

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# only for the death of the parent, which has no signal; every other event ends the wait at once
_POLL_SECONDS = 1.0
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_KILL_SIGNAL = signal.SIGQUIT  # a stop without grace: the run was cancelled
_WATCHED = _STOP_SIGNALS | {signal.SIGCHLD, _KILL_SIGNAL}


def main(arguments: Sequence[str]) -> int:
    """Run the program until it ends or has to; returns its exit code."""
    parser = argparse.ArgumentParser(prog="agent_assets.engines.launch.supervisor")
    parser.add_argument(
        "--parent", type=int, help="process to die with (default: whoever started this one)"
    )
    parser.add_argument(
        "--grace", type=float, default=10.0, help="seconds between SIGTERM and SIGKILL"
    )
    parser.add_argument(
        "--nice", type=int, default=0, help="the least niceness of this process and its program"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--module", nargs=argparse.REMAINDER, help="Python module to run, and its arguments"
    )
    what.add_argument("--exec", nargs=argparse.REMAINDER, help="program to run, and its arguments")
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", *options.module] if options.module else options.exec

    _lower_priority(options.nice)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # A core dump of an engine would hold training data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # Blocked signals wait until the loop asks for them: none is lost, none interrupts.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    parent = options.parent or os.getppid()
    with _scratch() if options.module else nullcontext():
        program = _start(command, before)
        status = _supervise(program, parent, options.grace)
        _kill_descendants()
    return _exit_like(status)


def _lower_priority(niceness: int) -> None:
    """Let others go first. A session may have a lower niceness than the process that started it: an
    engine goes before the run that waits.
    """
    if niceness <= 0:
        return
    os.nice(max(0, niceness - os.nice(0)))
    set_session_niceness(niceness)


@contextmanager
def _scratch() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = folder
        # whoever looks for folders of supervisors that were killed leaves one that is locked
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            yield
        finally:
            os.close(descriptor)


def _start(command: list[str], mask: set[int] | set[signal.Signals]) -> int:
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before the line above
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _supervise(program: int, parent: int, grace: float) -> int | None:
    """Wait for the end of `program`; its wait status, or None when it has to be killed."""
    kill_at: float | None = None
    while True:
        # The parent's death has no signal here (see above), so its id is compared: an orphan gets
        # another parent.
        orphaned = os.getppid() != parent
        received = None if orphaned else signal.sigtimedwait(_WATCHED, _POLL_SECONDS)
        status = _reap(program)
        if status is not None:
            return status
        now = time.monotonic()
        if received is not None and received.si_signo == _KILL_SIGNAL:
            return None
        if kill_at is None and (
            orphaned or (received is not None and received.si_signo in _STOP_SIGNALS)
        ):
            kill_at = now + grace
            if grace > 0:
                os.kill(program, signal.SIGTERM)
        if kill_at is not None and now >= kill_at:
            return None
        if orphaned:
            time.sleep(0.05)


def _reap(program: int) -> int | None:
    """Collect every child that has ended; the wait status of `program` if it is among them."""
    wait_status = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return wait_status
        if pid == 0:
            return wait_status
        if pid == program:
            wait_status = status


def _kill_descendants() -> None:
    """Kill until nothing is left: children of what was killed become ours and are killed in the
    next round.
    """
    while True:
        for pid in _children():
            os.kill(
                pid, signal.SIGKILL
            )  # not yet waited for, so the id cannot belong to anyone else
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _children() -> list[int]:
    me, children = str(os.getpid()), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat.rpartition(")")[2].split()[1] == me:  # the name before ")" may hold anything
            children.append(int(entry.name))
    return children


def _exit_like(status: int | None) -> int:
    """Exit code of this process; when the program was ended by a signal, this one ends by the
    same.
    """
    code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os.kill(os.getpid(), -code)
    return 128 - code


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
