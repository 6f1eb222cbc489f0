"""One `up` per home, and none before the processes of the one before it are gone."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from agent_assets.errors import ConfigError
from agent_assets.privacy import make_home
from agent_assets.settings import Settings

_GONE_SECONDS = 60.0  # a supervisor gives its program ten to end
_WRITTEN_SECONDS = 2.0
_POLL_SECONDS = 0.1


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One set of services per home: a second would share the daemon's storage, and take the
    workspace along.

    Raises:
        ConfigError: this installation is up already.
    """
    make_home(settings)
    file = settings.home / "up.lock"  # names the process that holds it
    try:
        held = FileLock(file, fallback_to_soft=False).acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"This installation is up already (process {_holder(file)}).",
            next_step="use that one, or set AGENT_ASSETS_HOME to another folder.",
        ) from None
    with held:
        file.write_text(str(os.getpid()), encoding="ascii")
        yield


@contextlib.contextmanager
def no_earlier_services(settings: Settings, report: Callable[[str], None]) -> Iterator[int]:
    """Hold the lock that all services of this home inherit: it cannot be had while one of an `up`
    that was killed still ends, on its port and with its runs.

    Args:
        report: told once that there is something to wait for.

    Yields:
        The open file that every service has to inherit.

    Raises:
        ConfigError: they still run after a minute.
    """
    make_home(settings)
    file = _services_lock(settings)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _GONE_SECONDS
        told = False
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise ConfigError(
                    "Processes of an earlier `up` of this installation do not end.",
                    next_step=f"`fuser {file}` names them; end them, then start again.",
                )
            if not told:
                report("waiting for the processes of an `up` that was killed")
                told = True
            time.sleep(_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def services_ended(settings: Settings) -> Iterator[bool]:
    """Whether no service of this home runs or ends. Where none does, none starts in the block."""
    make_home(settings)
    descriptor = os.open(_services_lock(settings), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _services_lock(settings: Settings) -> Path:
    return settings.home / "services.lock"


def _holder(file: Path) -> str:
    """Process id in a lock file; one that has just taken it is about to write it."""
    deadline = time.monotonic() + _WRITTEN_SECONDS
    while not psutil.pid_exists(int(pid := file.read_text(encoding="ascii") or -1)):
        if time.monotonic() > deadline:
            return "unknown"
        time.sleep(_POLL_SECONDS)
    return str(pid)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
