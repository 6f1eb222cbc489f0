"""How much memory a model server takes, and whether one more fits beside those that run."""

from collections.abc import Sequence
from pathlib import Path

import psutil

from agent_assets.engines.devices.gpu import Device, gpu_memory_bytes

GIB = 2**30
# Of a server besides the weights: libraries (0.75 GiB, measured), the cache of the CPU
# (`vllm._CPU_CACHE_GIB`), which is filled as it is used, and adapters.
_RUNTIME_BYTES = 2 * GIB
# What a GPU holds besides weights at the least: context of CUDA, activations, a cache to start.
_GPU_RUNTIME_BYTES = 4 * GIB
_FREE_BYTES = GIB // 2  # that others on this machine keep
_CGROUP = Path("/sys/fs/cgroup")


def weights_bytes(model: Path) -> int:
    """Size of the weights in a folder."""
    return sum(path.stat().st_size for path in model.glob("*.safetensors"))


def expected_bytes(model: Path) -> int:
    """Resident memory of a server of this model on a CPU, before it was ever measured."""
    return weights_bytes(model) + _RUNTIME_BYTES


def fits_in_memory(
    needed: int, *, running: Sequence[int], to_come: int, limit: int | None, free: int
) -> bool:
    """Whether one more server fits on a CPU.

    Args:
        needed: bytes of the new one.
        running: bytes of each that runs or starts.
        to_come: bytes that those will take which are only starting.
        limit: bytes of all servers together; None: what is free.
        free: bytes that nobody uses.
    """
    if not running:
        return True  # the first one is let try: what is expected is an estimate
    if limit is not None:
        return sum(running) + needed <= limit
    return needed + to_come + _FREE_BYTES <= free


def free_memory() -> int:
    """Memory that this machine, or the control group of this process, has left."""
    free = int(psutil.virtual_memory().available)
    limit = _CGROUP / "memory.max"
    if not limit.is_file() or not (text := limit.read_text(encoding="ascii").strip()).isdigit():
        return free
    used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    # Pages of files that nobody read lately are given back on demand: weights leave many.
    cached = int(dict(line.split() for line in lines).get("inactive_file", 0))
    return min(free, int(text) - used + cached)


def smallest_gpu_share(model: Path, device: Device) -> float:
    """Share of a GPU's memory in which a model can be served at all."""
    needed = int(1.1 * weights_bytes(model)) + _GPU_RUNTIME_BYTES
    return needed / gpu_memory_bytes(device)


def gpu_share(total: float, bases: int, *, taken: Sequence[float], needed: float) -> float | None:
    """Share of a GPU's memory for one more server; None where there is no room for it.

    Args:
        total: share of all servers together.
        bases: base models that released agents rest on: each is given as much.
        taken: shares of the servers that run.
        needed: the smallest share that will do.
    """
    left = total - sum(taken)
    share = min(max(total / max(1, bases), needed), left)
    if taken and share < needed:
        return None
    return int(share * 1000) / 1000 or None
