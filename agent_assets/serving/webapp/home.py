"""The front page: every agent in words, what is stale and why, and what can be done about it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from agent_assets.serving.context import CallerDep, Services, ServicesDep, WriterDep
from agent_assets.serving.job_assets import NoSuchElder
from agent_assets.serving.jobs import JobUnknown
from agent_assets.serving.webapp.agents import SHOWS, AgentList, AgentPage, Show
from agent_assets.serving.webapp.causes import causes_in_words
from agent_assets.serving.webapp.rendering import HOME, PageRoute, back_to, checked_form, page
from agent_assets.serving.webapp.state import WebAppDep
from agent_assets.serving.webapp.verdicts import reasons_in_words
from agent_assets.serving.webapp.words import words_for

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get(HOME)
async def home(
    request: Request,
    serving: ServicesDep,
    caller: CallerDep,
    web: WebAppDep,
    show: Show = "all",
    q: Annotated[str, Query(max_length=100)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
    notice: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """The agents, a page at a time."""
    overview = web.look.latest()

    def read() -> AgentPage:
        return AgentList(serving, caller, overview).page(show, q, number)

    agents = await run_in_threadpool(read)
    words = words_for(request)
    return page(
        request,
        "home",
        caller=caller,
        section="home",
        agents=agents,
        overview=overview,
        looking=web.look.looking,
        show=show,
        shows=SHOWS,
        q=q,
        notice=notice if words.has(f"notice.{notice}") else None,
        causes=lambda found, shared=False: causes_in_words(words, found, shared=shared),
        reasons=lambda verdict: reasons_in_words(words, verdict),
        may_act=caller.scope != "read",
    )


@router.post("/app/agents/{agent_id}/refresh")
async def learn_now(
    agent_id: str, request: Request, serving: ServicesDep, caller: WriterDep, web: WebAppDep
) -> Response:
    """Start what is stale of one agent."""
    await checked_form(request, caller)
    if not caller.may_see(agent_id):
        raise NoSuchElder
    started = await serving.jobs.start_in_turn(agent_id)
    web.look.changed()
    return back_to(HOME, notice="started" if started["job_id"] else "fresh")


@router.post("/app/jobs/{job_id}/cancel")
async def stop_learning(
    job_id: str, request: Request, serving: ServicesDep, caller: WriterDep
) -> Response:
    """End a training. What is finished stays."""
    await checked_form(request, caller)

    def end(serving: Services) -> None:
        if not caller.may_see(serving.jobs.owner(job_id)):
            raise JobUnknown
        serving.jobs.cancel(job_id)

    await run_in_threadpool(end, serving)
    return back_to(HOME, notice="cancelled")
