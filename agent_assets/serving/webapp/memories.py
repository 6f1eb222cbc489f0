"""The memories of one elder: read, search, add, correct, withdraw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.serving.context import CallerDep, Services, ServicesDep, WriterDep
from agent_assets.serving.released import NotReleased
from agent_assets.serving.tokens import Caller, Forbidden
from agent_assets.serving.webapp.agents import AgentList, AgentState
from agent_assets.serving.webapp.cards import memory_card
from agent_assets.serving.webapp.rendering import PageRoute, back_to, checked_form, page
from agent_assets.serving.webapp.sources import ElderMemories, elder_memories
from agent_assets.serving.webapp.state import WebApp, WebAppDep
from agent_assets.serving.webapp.words import words_for

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_PER_PAGE = 20


@dataclass(frozen=True)
class _Told:
    agent: AgentState
    profile: ElderProfile
    memories: Sequence[Memory]
    open_questions: dict[str, str]


@router.get("/app/memories/{agent_id}")
async def memories(
    agent_id: str,
    request: Request,
    serving: ServicesDep,
    caller: CallerDep,
    web: WebAppDep,
    q: Annotated[str, Query(max_length=200)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
    notice: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """What an elder told, as it is in MongoDB now, a page at a time."""
    may_write = caller.scope != "read" and _writable(serving)
    told = await run_in_threadpool(_read, serving, web, caller, agent_id, may_write)
    words = words_for(request)
    wanted = q.strip().casefold()
    found = [
        memory
        for memory in told.memories
        if wanted in memory.answer.casefold() or wanted in memory.question.casefold()
    ]
    pages = max(1, -(-len(found) // _PER_PAGE))
    number = min(number, pages)
    shown = found[(number - 1) * _PER_PAGE : number * _PER_PAGE]
    return page(
        request,
        "memories",
        caller=caller,
        agent=told.agent,
        cards=[memory_card(memory, told.profile, words) for memory in shown],
        total=len(told.memories),
        found=len(found),
        q=q,
        number=number,
        pages=pages,
        open_questions=told.open_questions,
        may_write=may_write,
        why_not=None if may_write else "read" if caller.scope == "read" else "config",
        notice=notice if words.has(f"notice.{notice}") else None,
    )


@router.post("/app/memories/{agent_id}")
async def change_memory(
    agent_id: str, request: Request, serving: ServicesDep, caller: WriterDep, web: WebAppDep
) -> Response:
    """Add, correct or withdraw one memory."""
    form = await checked_form(request, caller)
    if not _writable(serving):
        raise Forbidden(
            "This installation does not let the web app change memories.",
            next_step="set edit_memories in serving.yaml, or change them where they are written.",
        )
    number, text = form.get("memory_id", ""), form.get("answer", "")
    changes: dict[str, tuple[str, Callable[[ElderMemories], None]]] = {
        "add": ("added", lambda told: told.editor.add(agent_id, form.get("question", ""), text)),
        "correct": ("corrected", lambda told: told.editor.correct(agent_id, number, text)),
        "withdraw": ("withdrawn", lambda told: told.editor.withdraw(agent_id, number)),
    }
    notice, apply = changes.get(form.get("do", ""), changes["correct"])

    def work() -> None:
        agent = _agent(serving, web, caller, agent_id)
        apply(elder_memories(web.installation, agent.pipeline))

    await run_in_threadpool(work)
    web.look.changed()
    return back_to(f"/app/memories/{agent_id}", notice=notice, q=form.get("q", "")[:200])


def _read(serving: Services, web: WebApp, caller: Caller, agent_id: str, may_write: bool) -> _Told:
    agent = _agent(serving, web, caller, agent_id)
    told = elder_memories(web.installation, agent.pipeline)
    record = told.read(agent_id)
    newest = sorted(record.memories, key=lambda memory: memory.updated_at, reverse=True)
    questions = told.editor.open_questions(agent_id) if may_write else {}
    return _Told(agent, record.profile, newest, questions)


def _agent(serving: Services, web: WebApp, caller: Caller, agent_id: str) -> AgentState:
    agent = AgentList(serving, caller, web.look.latest()).one(agent_id)
    if agent is None or agent.agent_id == agent.pipeline:
        raise NotReleased
    return agent


def _writable(serving: Services) -> bool:
    rule = serving.config.edit_memories
    # The embedded MongoDB listens on a socket of this machine, whose path is in its address.
    embedded = "%2F" in (serving.settings.mongodb_uri or "")
    return rule == "always" or (rule == "embedded" and embedded)
