"""Which device GPU stages run on, and an exclusive lease on it.

A lease is a file lock (flock). The engine process inherits the open file, so the kernel frees the
device when the last of worker and engine is gone, however they ended: an engine that outlives its
worker keeps its device.
"""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_assets.engines.devices.answering import VARIABLE as ANSWERING
from agent_assets.engines.devices.answering import answering_file
from agent_assets.errors import ConfigError, EngineMissing, EngineTimeout
from agent_assets.settings import visible_gpus

_POLL_SECONDS = 1.0
_REPORT_SECONDS = 30.0
_QUERY_SECONDS = 20
_SLICE = "MIG-"  # a part of a GPU; `nvidia-smi --query-gpu` lists whole ones alone
_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader")


@dataclass(frozen=True)
class Device:
    """A GPU or a slice of one, or the CPU as a whole.

    Args:
        index: what CUDA calls it: its place in PCI order, of a slice its UUID; None for the CPU.
    """

    name: str
    uuid: str
    index: str | None

    @property
    def environment(self) -> dict[str, str]:
        """Variables that show an engine this device and no other."""
        if self.index is None:
            return {"CUDA_VISIBLE_DEVICES": ""}
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": self.index}


CPU = Device(name="cpu", uuid="cpu", index=None)


@dataclass(frozen=True)
class GpuLease:
    """The right to use a device.

    Args:
        fd: the locked file: whoever holds it open holds the lease.
        answering: the file that is locked while somebody is answered on the same cores; None on a
            GPU.
    """

    device: Device
    fd: int
    holder: str
    answering: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables of an engine under this lease: its device, and where it sees who is answered
        beside it.
        """
        answering = {} if self.answering is None else {ANSWERING: str(self.answering)}
        return self.device.environment | answering

    def note_engine(self, pid: int) -> None:
        """Write down which engine process uses the device, for whoever waits for it."""
        _write_note(self.fd, {"holder": self.holder, "pid": os.getpid(), "engine_pid": pid})


def detect_gpus(environment: Mapping[str, str] | None = None) -> list[Device]:
    """The NVIDIA GPUs this process may use (CUDA_VISIBLE_DEVICES is honoured); empty without any.

    Raises:
        ConfigError: CUDA_VISIBLE_DEVICES names a GPU that is not there.
        EngineMissing: the driver does not answer.
    """
    try:
        answer = subprocess.run(
            _QUERY, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=False
        )
    except FileNotFoundError:
        return []
    except subprocess.TimeoutExpired as error:
        raise EngineMissing(
            f"nvidia-smi did not answer within {_QUERY_SECONDS} s: whether there is a GPU cannot "
            "be told.",
            next_step="run `nvidia-smi` (`nvidia-persistenced` makes it fast), or set "
            "AGENT_ASSETS_DEVICE to cpu.",
        ) from error
    if answer.returncode != 0:  # a driver without a GPU, or a GPU that is not ours
        return []
    fields = [
        [part.strip() for part in line.split(",", 2)]
        for line in answer.stdout.splitlines()
        if line.strip()
    ]
    gpus = [Device(name=name, uuid=uuid, index=index) for index, uuid, name in fields]
    visible = visible_gpus() if environment is None else visible_gpus(environment)
    return gpus if visible is None else _visible(gpus, visible)


def gpu_memory_bytes(device: Device) -> int:
    """Memory of a whole GPU.

    Raises:
        EngineMissing: the driver does not say.
    """
    query = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    try:
        answer = subprocess.run(
            [*query, "--id", device.uuid],
            capture_output=True,
            text=True,
            timeout=_QUERY_SECONDS,
            check=True,
        )
        return int(answer.stdout.strip()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        raise EngineMissing(
            f"nvidia-smi does not say how much memory {device.name} has.",
            next_step="run `nvidia-smi`; with agents of one base model alone it is not needed.",
        ) from None


def device_name() -> str:
    """Name of the first GPU, or "cpu"."""
    return next((gpu.name for gpu in detect_gpus()), CPU.name)


@contextmanager
def lease_device(
    devices: Sequence[Device],
    folder: Path,
    *,
    holder: str,
    timeout_seconds: float,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[GpuLease]:
    """Hold one of `devices` alone during the block; the first that is free.

    Args:
        devices: what may be used, in order of preference; `[CPU]` on a machine without a GPU.
        folder: where the lock files lie, the same for all processes of a machine.
        holder: who asks (a run id), shown to others that wait.
        timeout_seconds: how long to wait.
        report: told now and then who holds the devices.

    Raises:
        EngineTimeout: none became free in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = reported = time.monotonic()
    while (lease := _try_all(devices, folder, holder)) is None:
        now = time.monotonic()
        if now - started >= timeout_seconds:
            raise EngineTimeout(
                f"No device became free within {timeout_seconds:.0f} s: "
                f"{_holders(devices, folder)}.",
                next_step="wait for that run or terminate it, then materialize again.",
            )
        if reported in (started, now) or now - reported >= _REPORT_SECONDS:
            report(f"waiting for a device: {_holders(devices, folder)}")
            reported = now
        time.sleep(_POLL_SECONDS)
    try:
        yield lease
    finally:
        os.close(
            lease.fd
        )  # never LOCK_UN: that would also take the lock from an engine that still runs


def _try_all(devices: Sequence[Device], folder: Path, holder: str) -> GpuLease | None:
    for device in devices:
        fd = os.open(lease_file(folder, device), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        _write_note(fd, {"holder": holder, "pid": os.getpid()})
        answering = answering_file(folder) if device == CPU else None
        return GpuLease(device=device, fd=fd, holder=holder, answering=answering)
    return None


def _write_note(fd: int, note: Mapping[str, object]) -> None:
    text = json.dumps(note).encode()
    os.ftruncate(fd, 0)
    os.pwrite(fd, text, 0)


def _holders(devices: Sequence[Device], folder: Path) -> str:
    return "; ".join(
        f"{device.name} is held by {_holder(lease_file(folder, device))}" for device in devices
    )


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # between lock and note
        return "a process that has just taken it"
    who = f"run {note['holder']}, process {note['pid']}"
    if not Path(f"/proc/{note['pid']}").exists():
        who += f" (gone; its engine process {note.get('engine_pid', 'unknown')} still runs)"
    return who


def lease_file(folder: Path, device: Device) -> Path:
    """The file whose lock is the lease of a device."""
    return folder / f"{device.uuid}.lock"


def _visible(gpus: list[Device], names: str) -> list[Device]:
    chosen = []
    for name in [part.strip() for part in names.split(",") if part.strip() not in ("", "-1")]:
        # Given to this process, by Slurm for one: only CUDA can say whether it is there
        if name.startswith(_SLICE):
            chosen.append(Device(name=name, uuid=name.replace("/", "_"), index=name))
            continue
        matching = [gpu for gpu in gpus if gpu.index == name or gpu.uuid.startswith(name)]
        if not matching:
            raise ConfigError(
                f"CUDA_VISIBLE_DEVICES names '{name}'; this machine has {len(gpus)} GPUs.",
                next_step="use the indices or UUIDs that `nvidia-smi -L` shows, or unset it.",
            )
        chosen.append(matching[0])
    return chosen
