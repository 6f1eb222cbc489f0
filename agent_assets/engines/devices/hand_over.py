"""One GPU for serving and for stages: whoever trains or evaluates gets all of it, and meanwhile
nobody is answered there.

A stage that holds the lease of a GPU waits until no model server is on it. Serving sees the lease,
answers what it began, and ends its servers. Both signs are file locks: they go with their process.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent_assets.engines.devices.gpu import CPU, Device, GpuLease, lease_device, lease_file
from agent_assets.errors import EngineTimeout
from agent_assets.file_locks import is_locked

_POLL_SECONDS = 0.5
_HAND_OVER_SECONDS = 1200.0  # the longest answer takes less
HOLDER = "serving"


def serving_file(folder: Path, device: Device) -> Path:
    """The file that is locked, shared, while model servers are on a device."""
    return folder / f"{device.uuid}.serving"


def is_wanted(folder: Path, device: Device) -> bool:
    """Whether a stage holds the lease of a device, or waits to have it alone."""
    return is_locked(lease_file(folder, device))


def is_serving(folder: Path, device: Device) -> bool:
    """Whether model servers are on a device."""
    return is_locked(serving_file(folder, device))


def serve_on(devices: Sequence[Device], folder: Path) -> GpuLease | None:
    """A place on the first of the devices that no stage wants; others may serve there, too. None
    where stages want them all. Close `fd` when its server has ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for device in devices:
        if is_wanted(folder, device):
            continue
        fd = os.open(serving_file(folder, device), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        return GpuLease(device=device, fd=fd, holder=HOLDER)
    return None


@contextmanager
def lease_alone(
    devices: Sequence[Device],
    folder: Path,
    *,
    holder: str,
    timeout_seconds: float,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[GpuLease]:
    """As `lease_device`, of a GPU without any model server on it; those without one come first.

    Raises:
        EngineTimeout: none became free in time, or servers did not end in time.
    """
    in_order = sorted(devices, key=lambda device: is_serving(folder, device))
    with lease_device(
        in_order, folder, holder=holder, timeout_seconds=timeout_seconds, report=report
    ) as lease:
        if lease.device == CPU:
            yield lease
            return
        with without_serving(
            folder, lease.device, timeout_seconds=_HAND_OVER_SECONDS, report=report
        ):
            yield lease


@contextmanager
def without_serving(
    folder: Path, device: Device, *, timeout_seconds: float, report: Callable[[str], None]
) -> Iterator[None]:
    """Have no model server on a device during the block; its lease has to be held.

    Raises:
        EngineTimeout: servers did not end in time.
    """
    started, told = time.monotonic(), False
    fd = os.open(serving_file(folder, device), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _locked_alone(fd):
            if time.monotonic() - started >= timeout_seconds:
                raise EngineTimeout(
                    f"The model server did not leave {device.name} within {timeout_seconds:.0f} s.",
                    next_step="stop `agent-assets serve`, or set `inference.gpu: share` in "
                    "serving.yaml with shares of memory that fit; then materialize again.",
                )
            if not told:
                report(f"waiting for the model server to leave {device.name}")
                told = True
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(fd)


def _locked_alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
