"""Tool servers of agents that answer, kept open between requests: each bound to one agent, the
idlest closed first.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from agent_assets.agent.mcp.toolbox import Toolbox
from agent_assets.conversations.messages import ToolCall, ToolResult, ToolSchema
from agent_assets.errors import AgentAssetsError, ToolServerError
from agent_assets.serving.least_recent import Kept, LeastRecent

log = logging.getLogger("agent_assets.serving")
Open = Callable[[], AbstractAsyncContextManager[Toolbox]]


@dataclass
class _Session:
    """Servers live in a task of their own: they must be closed by the task that opened them."""

    opened: asyncio.Future[Toolbox]
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class ToolSessions:
    """A pool of open tool servers by what they were opened with: agents that share it share
    them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions = LeastRecent[_Session]()

    @property
    def names(self) -> list[str]:
        """What servers are open for."""
        return [name for name, _ in self._sessions.items()]

    @asynccontextmanager
    async def use(self, name: str, open_servers: Open) -> AsyncIterator[Toolbox]:
        """The servers of a name, opened if they are not. After an error they are opened anew the
        next time.

        Raises:
            ToolServerError: they cannot be opened, or failed inside the block.
        """
        kept = self._sessions.take(name) or self._begin(name, open_servers)
        try:
            yield await asyncio.shield(kept.value.opened)
        except AgentAssetsError:
            self._close(name, kept)
            raise
        finally:
            kept.in_flight -= 1
            self._trim()

    async def close(self) -> None:
        """Close all of them."""
        await self.end(self.names)

    async def end(self, names: Collection[str]) -> None:
        """Close those of these names, and wait until they are gone."""
        tasks = [self._close(name, kept) for name, kept in self._sessions.items() if name in names]
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)

    def _begin(self, name: str, open_servers: Open) -> Kept[_Session]:
        session = _Session(asyncio.get_running_loop().create_future())
        kept = self._sessions.put(name, session)

        async def live() -> None:
            try:
                async with open_servers() as toolbox:
                    session.opened.set_result(toolbox)
                    await session.closing.wait()
            # their logs cannot be written, or there are no more processes or open files
            except OSError as error:
                raise ToolServerError(
                    f"The agent's tools cannot be opened "
                    f"({error.strerror or type(error).__name__}).",
                    next_step="free what is full on the machine of this server, and ask again.",
                ) from None

        session.task = asyncio.create_task(live())
        session.task.add_done_callback(partial(self._over, name, kept))
        return kept

    def _over(self, name: str, kept: Kept[_Session], task: "asyncio.Task[None]") -> None:
        """Servers that are closed, for whatever reason, serve nobody: the next caller opens
        them anew.
        """
        self._sessions.remove(name, kept)
        session = kept.value
        error = None if task.cancelled() else task.exception()
        if session.opened.done():
            if error is not None:
                log.warning("tool servers did not end well", exc_info=error)
            return
        session.opened.set_exception(
            error or ToolServerError("The agent's tools were closed.", next_step="ask again.")
        )
        session.opened.exception()  # taken: whoever waited may have left

    def _close(self, name: str, kept: Kept[_Session]) -> "asyncio.Task[None] | None":
        """Let servers end; nobody new gets them."""
        self._sessions.remove(name, kept)
        kept.value.closing.set()
        return kept.value.task

    def _trim(self) -> None:
        for name, kept in self._sessions.idle()[: max(0, len(self._sessions) - self._limit)]:
            self._close(name, kept)


class WatchedTools:
    """A toolbox that tells what is called and what came back."""

    def __init__(self, toolbox: Toolbox, emit: Callable[[str, dict[str, object]], None]) -> None:
        self._toolbox, self._emit = toolbox, emit

    @property
    def tools(self) -> list[ToolSchema]:
        """What the servers offer."""
        return self._toolbox.tools

    async def call(self, call: ToolCall) -> ToolResult:
        """Call, and emit the call and its result."""
        self._emit("tool_call", {"id": call.id, "name": call.name, "arguments": call.arguments})
        result = await self._toolbox.call(call)
        self._emit(
            "tool_response", {"id": call.id, "content": result.text, "is_error": result.is_error}
        )
        return result
