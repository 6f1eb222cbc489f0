"""One agent's versions and reports, and the way back to an earlier version."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from agent_assets.release.rollback import roll_back_release
from agent_assets.serving.context import AdminDep, CallerDep, ServicesDep
from agent_assets.serving.released import NotReleased
from agent_assets.serving.webapp.agents import AgentList, AgentState
from agent_assets.serving.webapp.causes import causes_in_words
from agent_assets.serving.webapp.rendering import PageRoute, back_to, checked_form, page
from agent_assets.serving.webapp.state import WebAppDep
from agent_assets.serving.webapp.verdicts import reasons_in_words, share_in_words
from agent_assets.serving.webapp.versions import REPORT, AgentVersion, versions_of
from agent_assets.serving.webapp.words import words_for
from agent_assets.store.artifact_store import UNPARTITIONED, ArtifactKey
from agent_assets.store.partition_keys import elder_id_of_key

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_METRICS = (
    "recall_open",
    "abstention",
    "conversation",
    "tool_call_accuracy",
    "tool_call_accuracy_unseen_wording",
    "answer_accuracy",
)
# Reports are files of ours with what people said in them: they stand alone, reach nobody, and
# their own policy names the only script that may run.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
_Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]
_PICTURES = ("plots/loss.png", "plots/reward.png", "plots/coverage.png", "plots/before_after.png")


@dataclass(frozen=True)
class _AgentPage:
    agent: AgentState
    versions: list[AgentVersion]


@router.get("/app/agents/{agent_id}")
async def agent(
    agent_id: str,
    request: Request,
    serving: ServicesDep,
    caller: CallerDep,
    web: WebAppDep,
    notice: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """One agent: how it is, its versions side by side, its reports."""
    overview = web.look.latest()

    def read() -> _AgentPage:
        state = AgentList(serving, caller, overview).one(agent_id)
        if state is None:
            raise NotReleased
        store = serving.released.store
        return _AgentPage(state, versions_of(store, (state.pipeline, agent_id)))

    shown = await run_in_threadpool(read)
    words = words_for(request)
    return page(
        request,
        "agent",
        caller=caller,
        agent=shown.agent,
        versions=shown.versions,
        metrics=[name for name in _METRICS if any(name in v.scores for v in shown.versions)],
        causes=lambda found: causes_in_words(words, found),
        reasons=lambda verdict: reasons_in_words(words, verdict),
        share=lambda share, items: share_in_words(words, share, items),
        notice=notice if words.has(f"notice.{notice}") else None,
        may_act=caller.scope != "read",
        may_roll_back=caller.scope == "admin",
    )


@router.post("/app/agents/{agent_id}/rollback")
async def bring_back(
    agent_id: str, request: Request, serving: ServicesDep, caller: AdminDep
) -> Response:
    """Let an earlier version answer again, at once."""
    form = await checked_form(request, caller)
    pipeline, version = form.get("pipeline", ""), form.get("version", "")

    def work() -> None:
        agents = serving.released.agents()
        if (pipeline, agent_id) not in agents or not version:
            raise NotReleased
        roll_back_release(
            serving.released.store,
            (pipeline, agent_id),
            to=version,
            author=f"token {caller.id}",
            reason=form.get("reason", "").strip()[:500]
            or words_for(request)("agent.back.no_reason"),
        )

    await run_in_threadpool(work)
    return back_to(f"/app/agents/{agent_id}", notice="rolled_back")


@router.get("/app/files/{pipeline}/{asset}/{partition}/{fingerprint}/{name:path}")
async def file(
    pipeline: _Name,
    asset: _Name,
    partition: str,
    fingerprint: Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$")],
    name: str,
    serving: ServicesDep,
    caller: CallerDep,
) -> Response:
    """A report, or a curve, of an artifact: to who may know of its agent."""
    elder = None if partition == UNPARTITIONED else partition
    known = elder is None or elder_id_of_key(elder) is not None
    if not known or name not in (REPORT, *_PICTURES) or not caller.may_see(elder or pipeline):
        raise HTTPException(404)

    def read() -> bytes | None:
        artifact = serving.released.store.find(ArtifactKey(pipeline, asset, elder), fingerprint)
        if artifact is None or name not in artifact.manifest.files:
            return None
        return (artifact.path / name).read_bytes()

    content = await run_in_threadpool(read)
    if content is None:
        raise HTTPException(404)
    headers = {"Content-Security-Policy": _REPORT_POLICY, "Referrer-Policy": "no-referrer"}
    kind = "text/html; charset=utf-8" if name == REPORT else "image/png"
    return Response(content, media_type=kind, headers=headers)
