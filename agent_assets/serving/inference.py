"""The model servers behind the API, one per base model: an adapter is loaded only where the base is
the one it was trained on.

As many run at once as there is memory for. The one used longest ago goes first, and never while it
answers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.engines.base_settings import read_base_serving
from agent_assets.errors import AgentAssetsError
from agent_assets.serving.adapters import Busy
from agent_assets.serving.gpu_turn import GpuTurn, give_back
from agent_assets.serving.least_recent import Kept, LeastRecent
from agent_assets.serving.model_server import ModelServer, Served, ServerPlace, State
from agent_assets.serving.room import Room
from agent_assets.serving_settings import InferenceConfig

if TYPE_CHECKING:
    import httpx

    from agent_assets.engines.local_engines import LocalEngines

log = logging.getLogger("agent_assets.serving")
_POLL_SECONDS = 0.5
# Then nobody new is answered by the server that has to go: else one that is never idle stays.
_PATIENCE_SECONDS = 10.0


class Inference:
    """The model servers of this installation. Use it from one event loop.

    Args:
        bases: how many base models released agents rest on; shares of a GPU depend on it.
    """

    def __init__(
        self,
        engines: "LocalEngines",
        config: InferenceConfig,
        folder: Path,
        bases: Callable[[], int] = lambda: 1,
    ) -> None:
        self._engines, self._config, self._folder = engines, config, folder
        self._servers = LeastRecent[ModelServer]()
        self._leaving: set[str] = set()
        self._freed = asyncio.Event()
        self._changing = asyncio.Lock()
        self._placing: dict[str, asyncio.Task[None]] = {}
        self._room = Room(config, bases)
        self._turn = GpuTurn(engines, config)
        self._handing_over: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    @property
    def servers(self) -> list[ModelServer]:
        """The servers there are, the one used longest ago first."""
        return [kept.value for _, kept in self._servers.items()]

    @property
    def current(self) -> ModelServer | None:
        """The server that was used last."""
        return next(reversed(self.servers), None)

    @property
    def state(self) -> State:
        """Of all servers: the worst that one of them is in; `cold` without any."""
        states = {server.state for server in self.servers}
        order: tuple[State, ...] = ("failed", "starting", "ready")
        return next((state for state in order if state in states), "cold")

    @property
    def loaded(self) -> set[str]:
        """Names of the adapters that the servers hold."""
        return {name for server in self.servers for name in server.pool.loaded}

    @property
    def restarts(self) -> int:
        """Starts of the present servers after their first."""
        return sum(server.restarts for server in self.servers)

    @property
    def client(self) -> "httpx.AsyncClient":
        """For requests to model servers: one for all, because making one costs more than asking."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))
        return self._client

    @asynccontextmanager
    async def use(
        self, base_dir: Path, base_version: str, name: str, adapter: Path
    ) -> AsyncIterator[Served]:
        """Have an adapter ready to answer during the block, on the server of its base model.

        Raises:
            Busy: it was not their turn in time, or there was no room for the base model.
            AgentAssetsError: the server does not start, or refuses the adapter.
        """
        kept = await self._reserved(base_dir, base_version)
        try:
            async with kept.value.use(name, adapter) as served:
                yield served
        finally:
            self._free(kept)

    async def let_go(self, name: str, within: float) -> None:
        """Unload the adapter of an elder who is erased, wherever it is; see `AdapterPool.expel`."""
        for server in self.servers:
            if name in server.pool.loaded:
                await server.let_go(name, within)

    async def forget(self, name: str) -> None:
        """Unload an adapter that nobody uses."""
        for server in self.servers:
            if server.state == "ready":
                await server.pool.forget(name)

    async def close(self) -> None:
        """End what was started."""
        if self._handing_over is not None:
            self._handing_over.cancel()
            await asyncio.gather(self._handing_over, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
        for server in self.servers:
            await server.close()

    async def _reserved(self, base_dir: Path, base_version: str) -> Kept[ModelServer]:
        """The server of a base model with this request in flight, which keeps it from leaving."""
        serving = read_base_serving(base_dir)
        key = f"{base_version} {serving.context_length} {serving.quantization}"
        while True:
            if key not in self._leaving and (kept := self._servers.take(key)) is not None:
                return kept
            # What was begun is ended, also when who asked for it leaves: half of a switch would be
            # a server that is closed, and nobody's.
            placing = self._placing.get(key)
            if placing is None:
                placing = asyncio.create_task(self._place(key, base_dir, base_version))
                self._placing[key] = placing
                placing.add_done_callback(partial(self._placed, key))
            await asyncio.shield(placing)

    def _placed(self, key: str, placing: "asyncio.Task[None]") -> None:
        self._placing.pop(key, None)
        if not placing.cancelled():
            placing.exception()  # taken, also where nobody waits for it any more

    def _free(self, kept: Kept[ModelServer]) -> None:
        kept.in_flight -= 1
        self._freed.set()

    async def _place(self, key: str, base_dir: Path, base_version: str) -> None:
        await self._turn.wait()
        async with self._changing:
            if await self._stays(key):
                return
            place = await self._made_room(base_dir, base_version)
            server = ModelServer(
                self._engines, self._config, base_dir, base_version, self._folder, place
            )
            self._servers.put(key, server).in_flight = 0
            if place.lease is not None and (
                self._handing_over is None or self._handing_over.done()
            ):
                self._handing_over = asyncio.create_task(self._hand_over())

    async def _stays(self, key: str) -> bool:
        """Whether there is a server that does not leave; one that does has left then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.wait_seconds
        while key in dict(self._servers.items()):
            if key not in self._leaving:
                return True
            if loop.time() >= deadline:
                raise Busy("A model server is leaving.", next_step="try again in a minute.")
            await self._something_ends()
        return False

    async def _made_room(self, base_dir: Path, base_version: str) -> ServerPlace:
        """A place for one more server: others that nobody uses have gone, if need be."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            while True:
                lease = await self._turn.lease()
                place = await asyncio.to_thread(
                    self._room.place, base_dir, base_version, self.servers, lease
                )
                if place is not None:
                    return place
                give_back(lease)
                if await self._evicted():
                    continue
                waited = loop.time() - started
                if waited >= self._config.wait_seconds:
                    raise Busy(
                        "There is no memory for another base model while agents of those that are "
                        "loaded are answering.",
                        next_step="try again in a minute.",
                    )
                if waited >= _PATIENCE_SECONDS:
                    self._leaving |= {name for name, _ in self._servers.items()[:1]}
                await self._something_ends()
        finally:
            self._leaving &= {name for name, kept in self._servers.items() if self._wanted(kept)}

    async def _evicted(self) -> bool:
        """Whether a server went that nobody uses: the one used longest ago."""
        for name, kept in self._servers.idle():
            if not kept.value.busy:
                await self._end(name, kept)
                return True
        return False

    async def _end(self, name: str, kept: Kept[ModelServer]) -> None:
        self._servers.remove(name, kept)  # first: nobody takes it while it ends
        self._room.remember(kept.value)
        await kept.value.close()
        log.info("model server left", extra={"fields": {"base": kept.value.base_version[:8]}})

    async def _something_ends(self) -> None:
        self._freed.clear()
        with suppress(TimeoutError):
            # Not `wait_for`, which may swallow that this task is cancelled (Python 3.11).
            async with asyncio.timeout(_POLL_SECONDS):
                await self._freed.wait()

    def _wanted(self, kept: Kept[ModelServer]) -> bool:
        lease = kept.value.place.lease
        return lease is not None and self._turn.is_wanted(lease)

    async def _hand_over(self) -> None:
        """While servers are on a GPU: end those whose device a stage wants, when what they began is
        answered.
        """
        while len(self._servers):
            for name, kept in self._servers.items():
                if not self._wanted(kept):
                    continue
                self._leaving.add(name)
                if kept.in_flight == 0 and not kept.value.busy:
                    try:
                        await self._end(name, kept)
                    except AgentAssetsError as error:
                        log.error(
                            "model server did not end", extra={"fields": {"error": error.message}}
                        )
                    self._leaving.discard(name)
            await self._something_ends()
