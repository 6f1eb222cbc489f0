"""Review: one turn after another, right, wrong or corrected, with a name and a comment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from agent_assets.reviews.store import TurnReview, Verdict
from agent_assets.serving.context import Services, ServicesDep, WriterDep
from agent_assets.serving.released import NotReleased
from agent_assets.serving.tokens import Caller
from agent_assets.serving.webapp.agents import AgentList, AgentState
from agent_assets.serving.webapp.rendering import PageRoute, back_to, checked_form, page
from agent_assets.serving.webapp.rows import latest_rows
from agent_assets.serving.webapp.state import WebApp, WebAppDep
from agent_assets.serving.webapp.turns import (
    PLACES,
    Place,
    Turn,
    turns_of_marks,
    turns_of_rows,
    with_decisions,
)
from agent_assets.serving.webapp.words import words_for

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Show = Literal["open", "decided"]
_MARKS = 500
_LONGEST = 20_000  # characters of an answer
_REVIEWER = "agent_assets_reviewer"  # cookie with the name somebody gave
_YEAR = 365 * 86_400


@dataclass(frozen=True)
class _Work:
    """What there is to review of one agent."""

    agent: AgentState
    turns: Sequence[Turn]

    def of(self, place: Place, show: Show) -> list[Turn]:
        decided = show == "decided"
        return [
            turn
            for turn in self.turns
            if turn.place == place and (turn.decision is not None) is decided
        ]


@router.get("/app/review/{agent_id}")
async def review(
    agent_id: str,
    request: Request,
    serving: ServicesDep,
    caller: WriterDep,
    web: WebAppDep,
    place: Place = "training",
    show: Show = "open",
    at: Annotated[int, Query(ge=0, le=10**6)] = 0,
    notice: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """One turn, and how many there are."""
    work = await run_in_threadpool(_work, serving, web, caller, agent_id)
    counts = {kind: (len(work.of(kind, "decided")), len(work.of(kind, "open"))) for kind in PLACES}
    chosen = work.of(place, show)
    at = min(at, max(0, len(chosen) - 1))
    words = words_for(request)
    return page(
        request,
        "review",
        caller=caller,
        section="review",
        agent=work.agent,
        turn=chosen[at] if chosen else None,
        place=place,
        places=PLACES,
        show=show,
        at=at,
        total=len(chosen),
        counts=counts,
        reviewer=_decoded(request.cookies.get(_REVIEWER, "")),
        notice=notice if words.has(f"notice.{notice}") else None,
    )


@router.post("/app/review/{agent_id}")
async def decide(
    agent_id: str, request: Request, serving: ServicesDep, caller: WriterDep, web: WebAppDep
) -> Response:
    """Keep a decision, and go on with the next turn."""
    form = await checked_form(request, caller)
    place, number = form.get("place", ""), form.get("content_id", "")
    verdict, edited = form.get("verdict", ""), form.get("edited", "").strip()
    reviewer = form.get("reviewer", "").strip()[:100]
    if verdict not in ("right", "wrong", "edited", "again") or place not in PLACES:
        raise HTTPException(422)
    at = form.get("at", "0")

    def work() -> None:
        turns = _work(serving, web, caller, agent_id).turns
        turn = next((t for t in turns if (t.place, t.content_id) == (place, number)), None)
        if turn is None:
            raise NotReleased
        if verdict == "again":
            known = turn.content_id if turn.decision is None else turn.decision["content_id"]
            web.reviews.take_back(turn_agent, known)
            return
        changed = verdict == "edited" and edited not in ("", turn.answer)
        web.reviews.note_turn(
            TurnReview(
                kind="answer" if place == "chat" else "turn",
                agent=turn_agent,
                content_id=turn.content_id,
                question=turn.question,
                answer=turn.answer,
                verdict="edited" if changed else _plain(verdict),
                edited=edited[:_LONGEST] if changed else "",
                comment=form.get("comment", "").strip()[:2000],
                reviewer=reviewer,
                by=caller.id,
            )
        )

    turn_agent = agent_id
    await run_in_threadpool(work)
    web.look.changed()
    show = "decided" if verdict == "again" else "open"
    where = {"place": place, "show": show, "at": at if at.isdigit() else "0"}
    response = back_to(f"/app/review/{agent_id}", **where)
    if reviewer:
        response.set_cookie(
            _REVIEWER, _encoded(reviewer), max_age=_YEAR, samesite="strict", httponly=True
        )
    return response


def _work(serving: Services, web: WebApp, caller: Caller, agent_id: str) -> _Work:
    agent = AgentList(serving, caller, web.look.latest()).one(agent_id)
    if agent is None:
        raise NotReleased
    rows = latest_rows(serving, agent.pipeline, agent.agent_id)
    turns = [] if rows is None else list(turns_of_rows(rows.path))
    decided = web.reviews.decided(agent_id)
    known = {turn.content_id for turn in turns}
    # What was rejected is in no row any more, and can still be taken back.
    turns += [
        Turn(decision["content_id"], "training", decision["question"], decision["answer"])
        for decision in decided
        if decision["kind"] == "turn"
        and decision["content_id"] not in known
        and decision["verdict"] == "wrong"
    ]
    turns += turns_of_marks(web.reviews.marks(agent_id, limit=_MARKS))
    return _Work(agent, with_decisions(turns, decided))


def _plain(verdict: str) -> Verdict:
    """A correction that changes nothing says that the answer is right."""
    return cast(Verdict, "right" if verdict == "edited" else verdict)


def _encoded(name: str) -> str:
    """A name in a cookie: letters of any script as hex digits."""
    return name.encode().hex()


def _decoded(text: str) -> str:
    try:
        return bytes.fromhex(text).decode()[:100]
    except ValueError:
        return ""
