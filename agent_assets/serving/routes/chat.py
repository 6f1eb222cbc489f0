"""Talking to agents: `/chat` with their own tools."""

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

from agent_assets.conversations.messages import Message
from agent_assets.serving.answering import Answer
from agent_assets.serving.context import Services, ServicesDep, WriterDep
from agent_assets.serving.routes.strict_json import StrictJsonRoute
from agent_assets.serving.schemas import ChatReply, ChatRequest
from agent_assets.serving.streaming import answer_events

router = APIRouter(tags=["chat"], route_class=StrictJsonRoute)


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

    async def result_of(answer: Answer) -> dict[str, Any]:
        return _reply(serving, request, answer).model_dump()

    events = answer_events(
        serving.answering, released, request.message, _history(request), result_of
    )
    return EventSourceResponse(events)


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
