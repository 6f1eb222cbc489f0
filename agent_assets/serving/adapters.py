"""Which adapters are loaded in a server: a fixed number, least recently used first out, never one
that is answering.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from agent_assets.errors import AgentAssetsError, ServingError
from agent_assets.serving.least_recent import Kept, LeastRecent

log = logging.getLogger("agent_assets.serving")
Load = Callable[[str, Path], Awaitable[None]]
Unload = Callable[[str], Awaitable[None]]


class Busy(ServingError):
    """More is asked than can be answered now.

    Args:
        retry_after: seconds after which it is worth asking again.
    """

    def __init__(self, message: str, *, next_step: str, retry_after: int = 10) -> None:
        super().__init__(message, next_step=next_step)
        self.retry_after = retry_after


class AdapterPool:
    """Use it from one event loop.

    Args:
        slots: adapters that fit at once.
        load, unload: tell the server.
        wait_seconds: longest wait for a slot while every adapter is answering.
    """

    def __init__(self, slots: int, load: Load, unload: Unload, *, wait_seconds: float) -> None:
        self._limit, self._load, self._unload, self._wait = slots, load, unload, wait_seconds
        self._slots = LeastRecent[Path]()
        self._changing = asyncio.Lock()
        self._freed = asyncio.Event()
        self._placing: set[asyncio.Task[Kept[Path]]] = set()

    @property
    def loaded(self) -> dict[str, int]:
        """Requests in flight by adapter, the one used longest ago first."""
        return {name: slot.in_flight for name, slot in self._slots.items()}

    @asynccontextmanager
    async def use(self, name: str, path: Path) -> AsyncIterator[Callable[[], None]]:
        """Have an adapter loaded during the block, which is handed what to call when the server
        does not know it: it was restarted by somebody else, and the next use loads the adapter
        again.

        Raises:
            Busy: no slot became free in time.
            EngineFailed: the server refused the adapter.
        """
        slot = self._slots.take(name) or await self._placed(name, path)
        try:
            yield partial(self._slots.remove, name, slot)
        finally:
            self._let_go(slot)

    async def forget(self, name: str) -> None:
        """Unload an adapter that nobody uses; one that answers goes when its turn comes."""
        async with self._changing:
            if slot := dict(self._slots.idle()).get(name):
                await self._give_up(name, slot)

    async def expel(self, name: str, *, within: float, unload: bool) -> None:
        """Let an adapter go for good: when nobody is answered with it any more, or after `within`
        seconds.

        Args:
            unload: tell the server, too; one that is not running holds nothing.
        """
        deadline = asyncio.get_running_loop().time() + within
        while (slot := dict(self._slots.items()).get(name)) is not None:
            left = deadline - asyncio.get_running_loop().time()
            if slot.in_flight == 0 or left <= 0:
                async with self._changing:
                    self._slots.remove(name, slot)
                    if unload:
                        await self._unload(name)
                return
            self._freed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), left)

    async def restore(self) -> None:
        """Load everything again, into a server that started anew. What it does not take loses its
        slot: only who asks for that one is told.
        """
        async with self._changing:
            for name, slot in self._slots.items():
                try:
                    await self._load(name, slot.value)
                except AgentAssetsError as error:
                    self._slots.remove(name, slot)
                    fields = {
                        "adapter": name,
                        "error": type(error).__name__,
                        "detail": error.message,
                    }
                    log.warning("adapter is not loaded again", extra={"fields": fields})
            self._freed.set()

    async def _placed(self, name: str, path: Path) -> Kept[Path]:
        """A slot with this request in flight. What was begun is ended and remembered also when the
        caller leaves meanwhile: the server would hold an adapter that nobody here knows of.
        """
        placing = asyncio.create_task(self._place(name, path))
        self._placing.add(placing)
        placing.add_done_callback(self._placing.discard)
        try:
            return await asyncio.shield(placing)
        except asyncio.CancelledError:
            placing.add_done_callback(self._nobody_waits)
            raise

    def _nobody_waits(self, placing: "asyncio.Task[Kept[Path]]") -> None:
        if not placing.cancelled() and placing.exception() is None:
            self._let_go(placing.result())

    def _let_go(self, slot: Kept[Path]) -> None:
        slot.in_flight -= 1
        self._freed.set()

    async def _place(self, name: str, path: Path) -> Kept[Path]:
        async with self._changing:
            slot = self._slots.take(name)
            if slot is None:
                while len(self._slots) >= self._limit:
                    await self._evict()
                await self._load(name, path)
                slot = self._slots.put(name, path)
            return slot  # in flight already: nobody else can evict it

    async def _evict(self) -> None:
        if idle := self._slots.idle():
            await self._give_up(*idle[0])
            return
        self._freed.clear()
        try:
            await asyncio.wait_for(self._freed.wait(), self._wait)
        except TimeoutError:
            raise Busy(
                f"All {self._limit} adapters are answering.",
                next_step="try again, or raise inference.slots.",
            ) from None

    async def _give_up(self, name: str, slot: Kept[Path]) -> None:
        self._slots.remove(name, slot)  # first: nobody takes it while the server forgets it
        await self._unload(name)
