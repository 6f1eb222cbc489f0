"""One model server: started when the first agent answers, watched, restarted with its adapters.

It listens on loopback; its routes that load adapters are never reachable from outside.
"""

import asyncio
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from agent_assets.engines.base_settings import read_base_serving
from agent_assets.engines.devices.answering import AnswerSignal, answering_file
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.servers.loaded import ensure_loaded, ensure_unloaded
from agent_assets.errors import AgentAssetsError, ServingError
from agent_assets.serving.adapters import AdapterPool, Busy
from agent_assets.serving_settings import InferenceConfig

if TYPE_CHECKING:
    from agent_assets.engines.local_engines import LocalEngines
    from agent_assets.engines.servers.serve import Endpoint

log = logging.getLogger("agent_assets.serving")
State = Literal["cold", "starting", "ready", "failed"]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WATCH_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 600.0
_FOREVER = 10 * 365 * 86_400.0


@dataclass(frozen=True)
class Served:
    """Where an agent answers during a request; `lost` is to be called when the server does not know
    the model.
    """

    base_url: str
    model: str
    lost: Callable[[], None]


@dataclass(frozen=True)
class ServerPlace:
    """What a server may use.

    Args:
        lease: the GPU it is on, given back when the server is closed; None on a CPU.
        share: of the whole memory of that GPU; None: that of the settings.
    """

    lease: GpuLease | None = None
    share: float | None = None


_ANYWHERE = ServerPlace()


class ModelServer:
    """One base model, started on first use.

    Args:
        base_dir: folder of the base model; `base_version` is its data version.
        folder: for logs.
        place: what it may use.
    """

    def __init__(
        self,
        engines: "LocalEngines",
        config: InferenceConfig,
        base_dir: Path,
        base_version: str,
        folder: Path,
        place: ServerPlace = _ANYWHERE,
    ) -> None:
        self._engines, self._config, self._folder = engines, config, folder
        self.base_dir, self.base_version, self.place = base_dir, base_version, place
        self.state: State = "cold"
        self.pool = AdapterPool(
            config.slots, self._load, self._unload, wait_seconds=config.wait_seconds
        )
        self._places = asyncio.Semaphore(config.max_concurrency)
        self._users = 0
        self._answering = AnswerSignal(answering_file(Path(engines.home) / "leases"))
        self._starts = 0
        self._starting: asyncio.Task[None] | None = None
        self._closed = self._given_back = False
        self._process = threading.Lock()  # one thread at a time starts or ends the process
        self._stack = ExitStack()
        self._endpoint: Endpoint | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process of the server started here, None while there is none."""
        return None if self._endpoint is None else self._endpoint.engine.process.pid

    @property
    def restarts(self) -> int:
        """Starts after the first."""
        return max(0, self._starts - 1)

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak of the present process, 0 while there is none."""
        return 0 if self._endpoint is None else self._endpoint.peak_memory_bytes

    @property
    def busy(self) -> bool:
        """Whether somebody is answered or waits for that, or a start goes on (perhaps with nobody
        waiting any more).
        """
        return self._users > 0 or (self._starting is not None and not self._starting.done())

    @asynccontextmanager
    async def use(self, name: str, adapter: Path) -> AsyncIterator[Served]:
        """Have an adapter ready to answer during the block. No more than `max_concurrency` answer
        at once: the others wait here, where their time to answer does not run yet.

        Raises:
            Busy: it was not their turn in time.
        """
        self._users += 1
        self._answering.begin()
        try:
            await self.ensure()
            async with self._place(), self.pool.use(name, adapter) as lost:
                yield Served(self._url, name, lost)
        finally:
            self._answering.end()
            self._users -= 1

    async def let_go(self, name: str, within: float) -> None:
        """Unload the adapter of an elder who is erased; see `AdapterPool.expel`."""
        await self.pool.expel(name, within=within, unload=self._alive())

    async def ensure(self) -> None:
        """Start the server unless it runs; after a crash start it again with the adapters it had.

        Raises:
            AgentAssetsError: it does not start.
        """
        if self._alive():
            return
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._begin())
            self._starting.add_done_callback(_taken)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        starting = self._starting
        # A waiter may time out or leave: the start goes on, and the next one waits for the same.
        done, _ = await asyncio.wait({starting}, timeout=self._config.wait_seconds)
        if not done:
            raise Busy("The model server is still starting.", next_step="try again in a minute.")
        starting.result()

    async def close(self) -> None:
        """End the server for good, also one that is starting."""
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await asyncio.to_thread(self._stop)
        if self._starting is not None:
            await asyncio.gather(
                self._starting, return_exceptions=True
            )  # it was ended, or ends itself
        self.state = "cold"
        if self.place.lease is not None and not self._given_back:
            os.close(self.place.lease.fd)
            self._given_back = True

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._places.acquire(), self._config.wait_seconds)
        except TimeoutError:
            raise Busy("Too many are being answered.", next_step="try again in a minute.") from None
        try:
            yield
        finally:
            self._places.release()

    async def _begin(self) -> None:
        self.state, ready = "starting", False
        try:
            await asyncio.to_thread(self._start)
            self._starts += 1
            if self._starts > 1:
                await self.pool.restore()
            ready = True
        finally:
            self.state = "ready" if ready else "failed"

    @property
    def _url(self) -> str:
        if self._config.url is not None:
            return self._config.url
        assert self._endpoint is not None
        return self._endpoint.base_url

    def _alive(self) -> bool:
        if self._config.url is not None:
            return True
        return (
            self.state == "ready"
            and self._endpoint is not None
            and self._endpoint.engine.process.poll() is None
        )

    def _start(self) -> None:
        ready = False
        try:
            self._launch().wait_until_ready()
            ready = True
        finally:
            if not ready:
                self._stop()

    def _launch(self) -> "Endpoint":
        """A new process, in place of the one before. It answers later; until then `_stop` can end
        it.
        """
        from agent_assets.engines.servers.serve import serve_model

        self._stop()
        env = self._engines.environment()
        of_base = read_base_serving(self.base_dir).context_length
        limits = EngineLimits(
            seconds=_FOREVER, memory_bytes=int(self._config.max_memory_gb * 2**30)
        )
        with self._process:
            if self._closed:
                raise ServingError("The model server was ended.", next_step="start the API again.")
            self._endpoint = self._stack.enter_context(
                serve_model(
                    self._engines.server,
                    env=env,
                    model_dir=self.base_dir,
                    log_dir=self._folder / f"inference-{self.base_version[:8]}",
                    limits=limits,
                    max_model_len=self._config.context_length(of_base),
                    max_loras=self._config.slots,
                    max_lora_rank=self._config.max_rank,
                    max_concurrency=self._config.max_concurrency,
                    gpu_memory_utilization=self.place.share or self._config.gpu_memory,
                    lease=self.place.lease,
                    compiled=env.name == "gpu",
                    wait=False,
                    tool_call_parser=self._config.tool_call_parser,
                )
            )
            return self._endpoint

    def _stop(self) -> None:
        with self._process:
            stack, self._stack = self._stack, ExitStack()
            try:
                stack.close()
            except AgentAssetsError as error:
                # Why the server before this one ended: said, then done with
                log.warning("model server ended", extra={"fields": {"error": error.message}})

    async def _watch(self) -> None:
        """Start it again when it is gone, and when that failed once more, after longer and longer
        pauses: who follows `/health` sends nobody meanwhile whose request would start it.
        """
        pause = _WATCH_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._alive() or self.state == "starting":
                pause = _WATCH_SECONDS
                continue
            log.warning("model server is gone; starting it again")
            try:
                await self.ensure()
            except AgentAssetsError as error:
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                log.error("model server does not start", extra={"fields": {"error": error.message}})

    async def _load(self, name: str, path: Path) -> None:
        self._check_rank(name, path)
        if self._config.url is not None and urlsplit(self._config.url).hostname not in _LOOPBACK:
            # a server elsewhere has its adapters already: those routes must not leave this machine
            return
        await asyncio.to_thread(ensure_loaded, self._engines.server, self._url, name, path)

    def _check_rank(self, name: str, path: Path) -> None:
        config = path / "adapter_config.json"
        if self._config.url is not None or not config.is_file():
            return
        rank = json.loads(config.read_text(encoding="utf-8")).get("r", 0)
        if rank > self._config.max_rank:
            raise ServingError(
                f"{name} has rank {rank}, the model server takes up to {self._config.max_rank}.",
                next_step="raise inference.max_rank in serving.yaml and restart; each slot then "
                "takes more memory.",
            )

    async def _unload(self, name: str) -> None:
        if self._config.url is not None and urlsplit(self._config.url).hostname not in _LOOPBACK:
            return
        await asyncio.to_thread(ensure_unloaded, self._engines.server, self._url, name)


def _taken(starting: "asyncio.Task[None]") -> None:
    """Take the error of a start that nobody waits for any more; the state says that it failed."""
    if not starting.cancelled() and starting.exception() is not None:
        log.error(
            "model server did not start",
            extra={"fields": {"error": type(starting.exception()).__name__}},
        )
