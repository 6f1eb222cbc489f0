"""Talking with an agent in the browser."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from agent_assets.conversations.messages import Message
from agent_assets.reviews.store import ChatMark
from agent_assets.serving.answering import Answer
from agent_assets.serving.context import ServicesDep, WriterDep
from agent_assets.serving.released import ReleasedAgent
from agent_assets.serving.routes.strict_json import StrictJsonRoute
from agent_assets.serving.schemas import HistoryMessage, Text
from agent_assets.serving.streaming import answer_events
from agent_assets.serving.webapp.cards import answer_cards, memories_of, starters
from agent_assets.serving.webapp.rendering import PageRoute, check_csrf, csrf_token, page
from agent_assets.serving.webapp.state import WebAppDep
from agent_assets.serving.webapp.words import Words, words_for

pages = APIRouter(include_in_schema=False, route_class=PageRoute)
actions = APIRouter(include_in_schema=False, route_class=StrictJsonRoute)
REASONS = ("untrue", "not_told", "manner", "other")
CsrfHeader = Annotated[str, Header(alias="x-csrf-token", max_length=100)]
# What the script says, by the name it knows it by.
_SAID = {
    "you": "chat.you",
    "send": "chat.send",
    "stop": "chat.stop",
    "thinking": "chat.thinking",
    "remembering": "chat.remembering",
    "failed": "chat.failed",
    "retry": "chat.retry",
    "cut": "chat.cut",
    "memories": "chat.memories",
    "never_told": "chat.never_told",
    "no_memory": "chat.no_memory",
    "more": "memory.more",
    **{
        f"mark_{name}": f"mark.{name}"
        for name in ("group", "up", "down", "why", "comment", "send", "leave", "thanks", "failed")
    },
}


class Asked(BaseModel):
    """A message, and what was said before."""

    message: Text
    conversation_history: list[HistoryMessage] = Field(default_factory=list, max_length=100)


class Marked(BaseModel):
    """A thumb for an answer."""

    question: Text
    answer: Annotated[str, Field(max_length=20_000)]
    model_name: Annotated[str, Field(max_length=300)]
    memory_ids: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)]
    verdict: Literal["right", "wrong"]
    reason: Literal["", "untrue", "not_told", "manner", "other"] = ""
    comment: Annotated[str, Field(max_length=2000)] = ""


@pages.get("/app/chat/{agent_id}")
async def talk(
    agent_id: str, request: Request, serving: ServicesDep, caller: WriterDep
) -> Response:
    """The conversation with one agent."""

    def read() -> tuple[ReleasedAgent, str, list[str]]:
        released = serving.find_to_ask(caller, agent_id)
        told = memories_of(serving, released)
        if told is None:
            return released, released.id, []
        return released, told[0].name, starters(told[1])

    released, name, questions = await run_in_threadpool(read)
    words = words_for(request)
    return page(
        request,
        "chat",
        caller=caller,
        section="chat",
        agent_id=released.id,
        name=name,
        is_elder=released.agent[0] != released.agent[1],
        questions=questions,
        said=_said(words, name),
        chat_csrf=csrf_token(request, caller),
    )


# FastAPI takes a route of class EventSourceResponse for a generator of its own events.
@actions.post("/app/chat/{agent_id}/stream", response_class=StreamingResponse)
async def stream(
    agent_id: str,
    asked: Asked,
    request: Request,
    serving: ServicesDep,
    caller: WriterDep,
    csrf: CsrfHeader = "",
) -> EventSourceResponse:
    """As `/chat/stream`; the result also holds the memories that the answer rests on."""
    check_csrf(request, caller, csrf)
    released = await run_in_threadpool(serving.find_to_ask, caller, agent_id)
    words = words_for(request)

    async def result_of(answer: Answer) -> dict[str, Any]:
        serving.count(answer)
        return await run_in_threadpool(answer_cards, serving, released, answer, words)

    history = [
        Message(entry.role, entry.content)
        for entry in asked.conversation_history
        if entry.role != "system" and entry.content.strip()
    ]
    events = answer_events(serving.answering, released, asked.message, history, result_of)
    return EventSourceResponse(events)


@actions.post("/app/chat/{agent_id}/marks", status_code=204)
async def mark(
    agent_id: str,
    marked: Marked,
    request: Request,
    serving: ServicesDep,
    web: WebAppDep,
    caller: WriterDep,
    csrf: CsrfHeader = "",
) -> None:
    """Keep a thumb for whoever reviews."""
    check_csrf(request, caller, csrf)
    released = await run_in_threadpool(serving.find_to_ask, caller, agent_id)
    kept = ChatMark(
        agent=released.id,
        model_name=marked.model_name,
        question=marked.question,
        answer=marked.answer,
        memory_ids=tuple(marked.memory_ids),
        verdict=marked.verdict,
        reason=marked.reason,
        comment=marked.comment,
        by=caller.id,
    )
    await run_in_threadpool(web.reviews.note_mark, kept)


def _said(words: Words, name: str) -> dict[str, Any]:
    said: dict[str, Any] = {key: words(of, name=name) for key, of in _SAID.items()}
    reasons = [(reason, words(f"mark.reason.{reason}", name=name)) for reason in REASONS]
    return said | {"name": name, "reasons": reasons}
