"""Whether there is room for the server of one more base model, and how much memory it gets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.servers.memory import (
    GIB,
    expected_bytes,
    fits_in_memory,
    free_memory,
    gpu_share,
    smallest_gpu_share,
)
from agent_assets.serving.model_server import ModelServer, ServerPlace
from agent_assets.serving_settings import InferenceConfig


class Room:
    """The memory for model servers.

    Args:
        bases: how many base models released agents rest on.
    """

    def __init__(self, config: InferenceConfig, bases: Callable[[], int]) -> None:
        self._config, self._bases = config, bases
        self._measured: dict[str, int] = {}  # peak by base model

    def place(
        self,
        base_dir: Path,
        base_version: str,
        servers: Sequence[ModelServer],
        lease: GpuLease | None,
    ) -> ServerPlace | None:
        """A place for a server of this base model beside those that run; None without room.

        Args:
            lease: the GPU it would be on; None on a CPU.
        """
        if self._config.url is not None:
            return ServerPlace(lease=lease)
        if lease is None:
            return ServerPlace() if self._fits(base_dir, base_version, servers) else None
        places = [server.place for server in servers]
        taken = [
            place.share or 0.0
            for place in places
            if place.lease is not None and place.lease.device == lease.device
        ]
        bases = self._bases()
        needed = smallest_gpu_share(base_dir, lease.device) if bases > 1 or taken else 0.0
        share = gpu_share(self._config.gpu_memory, bases, taken=taken, needed=needed)
        return None if share is None else ServerPlace(lease=lease, share=share)

    def remember(self, server: ModelServer) -> None:
        """Keep what a server really took: what is expected before is an estimate."""
        if server.peak_memory_bytes:
            known = self._measured.get(server.base_version, 0)
            self._measured[server.base_version] = max(known, server.peak_memory_bytes)

    def _fits(self, base_dir: Path, base_version: str, servers: Sequence[ModelServer]) -> bool:
        for server in servers:
            self.remember(server)
        limit = self._config.memory_gb
        running = {server: self._bytes(server.base_version, server.base_dir) for server in servers}
        return fits_in_memory(
            self._bytes(base_version, base_dir),
            running=list(running.values()),
            to_come=sum(size for server, size in running.items() if server.state != "ready"),
            limit=None if limit is None else int(limit * GIB),
            free=free_memory(),
        )

    def _bytes(self, base_version: str, base_dir: Path) -> int:
        return self._measured.get(base_version) or expected_bytes(base_dir)
