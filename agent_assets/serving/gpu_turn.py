"""Whose turn it is on a GPU: serving waits while stages have every one of them."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.engines.devices.gpu import Device, GpuLease
from agent_assets.engines.devices.hand_over import HOLDER, is_wanted, serve_on
from agent_assets.serving.adapters import Busy
from agent_assets.serving_settings import InferenceConfig

if TYPE_CHECKING:
    from agent_assets.engines.local_engines import LocalEngines

_POLL_SECONDS = 0.5
_RETRY_SECONDS = 60


class GpuTurn:
    """The GPUs as serving uses them. On a CPU, and with a server elsewhere, it is always its
    turn.
    """

    def __init__(self, engines: "LocalEngines", config: InferenceConfig) -> None:
        self._engines, self._config = engines, config
        self._leases = Path(engines.home) / "leases"
        self._devices: list[Device] | None = None

    async def wait(self) -> None:
        """Wait until a GPU is there for serving.

        Raises:
            Busy: stages have all of them, and did not let go of one in time.
        """
        loop, devices = asyncio.get_running_loop(), await self._gpus()
        deadline = loop.time() + self._config.gpu_wait_seconds
        while devices and self._hands_over and all(map(self._stage_has, devices)):
            if loop.time() >= deadline:
                raise _taken()
            await asyncio.sleep(min(_POLL_SECONDS, self._config.gpu_wait_seconds or _POLL_SECONDS))

    async def lease(self) -> GpuLease | None:
        """A place on a GPU; None on a CPU.

        Raises:
            Busy: stages have all GPUs.
        """
        devices = await self._gpus()
        if not devices:
            return None
        if not self._hands_over:
            self._leases.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._leases / HOLDER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            return GpuLease(device=devices[0], fd=fd, holder=HOLDER)
        lease = serve_on(devices, self._leases)
        if lease is None:
            raise _taken()
        return lease

    def is_wanted(self, lease: GpuLease) -> bool:
        """Whether a stage wants the GPU of a lease."""
        return self._hands_over and self._stage_has(lease.device)

    @property
    def _hands_over(self) -> bool:
        return self._config.gpu == "hand_over"

    def _stage_has(self, device: Device) -> bool:
        return is_wanted(self._leases, device)

    async def _gpus(self) -> list[Device]:
        if self._config.url is not None:
            return []
        if self._devices is None:
            on_gpu = await asyncio.to_thread(lambda: self._engines.environment().name == "gpu")
            self._devices = await asyncio.to_thread(self._engines.devices) if on_gpu else []
        return self._devices


def give_back(lease: GpuLease | None) -> None:
    """Give back a place that no server took."""
    if lease is not None:
        os.close(lease.fd)


def _taken() -> Busy:
    return Busy(
        "A training or an evaluation has the GPU.",
        next_step="try again when it has ended; `inference.gpu: share` in serving.yaml answers "
        "beside it.",
        retry_after=_RETRY_SECONDS,
    )
