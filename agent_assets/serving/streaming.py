"""One answer as server-sent events, for the API and for the page."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from fastapi.sse import format_sse_event

from agent_assets.conversations.messages import Message
from agent_assets.errors import AgentAssetsError
from agent_assets.serving.answering import Answer, Answering
from agent_assets.serving.released import ReleasedAgent

_DONE = object()

# What the last event says of an answer.
ResultOf = Callable[[Answer], Coroutine[Any, Any, dict[str, Any]]]


def server_event(kind: str, content: dict[str, Any]) -> bytes:
    """The bytes of an event. Its data is JSON on one line, letters as they are."""
    return format_sse_event(event=kind, data_str=json.dumps(content, ensure_ascii=False))


async def answer_events(
    answering: Answering,
    released: ReleasedAgent,
    message: str,
    history: Sequence[Message],
    result_of: ResultOf,
) -> AsyncIterator[bytes]:
    """`text_chunk`, `tool_call` and `tool_response` while the agent works, then `result` or
    `error`.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def work() -> None:
        try:
            answer = await answering.answer(
                released,
                message,
                history,
                lambda kind, content: queue.put_nowait((kind, content)),
            )
            queue.put_nowait(("result", await result_of(answer)))
        except AgentAssetsError as error:
            queue.put_nowait(("error", {"detail": error.message, "next_step": error.next_step}))
        finally:
            queue.put_nowait(_DONE)

    task = asyncio.create_task(work())
    try:
        while (event := await queue.get()) is not _DONE:
            yield server_event(*event)
        await asyncio.wait({task})
        if task.cancelled() or task.exception() is not None:
            yield server_event(
                "error", {"detail": "The answer failed.", "next_step": "read the log of the API."}
            )
    finally:  # also when the client goes away: nobody is left to read the answer
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
