"""Letting go of an elder who is erased: by an erasure in this process or in another one of this
home.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent_assets.erasure.notices import Announced, Notice, announced
from agent_assets.serving.inference import Inference
from agent_assets.serving.sessions import ToolSessions

_POLL_SECONDS = 0.2


class LettingGo:
    """Heeds notices of erasures while the API runs.

    Args:
        wait_s: longest wait for an answer that is being given.
        forget: drops what else is kept in memory of an elder; returns how much it was.
    """

    def __init__(
        self,
        home: Path,
        inference: Inference,
        sessions: ToolSessions,
        *,
        wait_s: float,
        forget: Callable[[str], Awaitable[int]],
    ) -> None:
        self._forget = forget
        self._home, self._inference, self._sessions = home, inference, sessions
        self._wait_s = wait_s

    async def watch(self) -> None:
        """Heed notices until this is cancelled."""
        with announced(self._home) as here:
            while True:
                await self._heed_all(here)
                await asyncio.sleep(_POLL_SECONDS)

    async def _heed_all(self, here: Announced) -> None:
        for notice in await asyncio.to_thread(here.open_notices):
            held = await self._heed(notice)
            await asyncio.to_thread(here.answer, notice, held)

    async def _heed(self, notice: Notice) -> int:
        adapter_of = re.compile(re.escape(notice.elder) + "-[0-9a-f]{8}")
        loaded = list(filter(adapter_of.fullmatch, self._inference.loaded))
        opened = [name for name in self._sessions.names if name.split("/")[1] == notice.elder]
        kept = 0
        if notice.let_go:
            for name in loaded:
                await self._inference.let_go(name, self._wait_s)
            await self._sessions.end(opened)
            kept = await self._forget(notice.elder)
        return len(loaded) + len(opened) + kept
