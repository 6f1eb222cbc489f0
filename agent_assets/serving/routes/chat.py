"""Talking to agents: `/chat` with their own tools."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

from agent_assets.conversations.messages import Message
from agent_assets.errors import AgentAssetsError
from agent_assets.serving.answering import Answer
from agent_assets.serving.context import Services, ServicesDep, WriterDep
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.routes.server_events import server_event
from agent_assets.serving.routes.strict_json import StrictJsonRoute
from agent_assets.serving.schemas import ChatReply, ChatRequest

router = APIRouter(tags=["chat"], route_class=StrictJsonRoute)
_DONE = object()


@router.post("/chat", response_model=ChatReply)
async def chat(request: ChatRequest, serving: ServicesDep, caller: WriterDep) -> ChatReply:
    """Ask an agent: it answers as itself, looks its memories up, and names those it rests on."""
    released = await asyncio.to_thread(serving.find_to_ask, caller, request.agent)
    answer = await serving.answering.answer(released, request.message, _history(request))
    return _reply(serving, request, answer)


# FastAPI takes a route of class EventSourceResponse for a generator of its own events.
@router.post("/chat/stream", response_class=StreamingResponse)
async def chat_stream(
    request: ChatRequest, serving: ServicesDep, caller: WriterDep
) -> EventSourceResponse:
    """As `/chat`, as server-sent events: `text_chunk`, `tool_call`, `tool_response`, then `result`
    or `error`.
    """
    released = await asyncio.to_thread(serving.find_to_ask, caller, request.agent)
    return EventSourceResponse(_events(serving, released, request))


async def _events(
    serving: Services, released: ReleasedAgent, request: ChatRequest
) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def work() -> None:
        try:
            answer = await serving.answering.answer(
                released,
                request.message,
                _history(request),
                lambda kind, content: queue.put_nowait((kind, content)),
            )
            queue.put_nowait(("result", _reply(serving, request, answer).model_dump()))
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


def _history(request: ChatRequest) -> list[Message]:
    return [
        Message(entry.role, entry.content)
        for entry in request.conversation_history
        if entry.role != "system" and entry.content.strip()
    ]


def _reply(serving: Services, request: ChatRequest, answer: Answer) -> ChatReply:
    serving.count(answer)
    return ChatReply(
        elder_id=request.agent,
        message=request.message,
        response=answer.text,
        model_name=f"{serving.released.prefix}{answer.model}",
        memory_ids=list(answer.memory_ids),
        stop_reason=answer.stop_reason,
    )
