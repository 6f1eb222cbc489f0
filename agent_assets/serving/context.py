"""What routes work with, and who asks them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from agent_assets.release.records import Agent
from agent_assets.serving.answering import Answer, Answering
from agent_assets.serving.door import Door
from agent_assets.serving.guard import Metrics, Places, RateLimit
from agent_assets.serving.health import HealthProbe
from agent_assets.serving.inference import Inference
from agent_assets.serving.jobs import Jobs
from agent_assets.serving.proxies import client_address
from agent_assets.serving.released import Released, ReleasedAgent
from agent_assets.serving.tokens import Caller, Denied, Forbidden, Tokens
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings


@dataclass(frozen=True)
class Services:
    """Everything behind the API."""

    settings: Settings
    config: ServingConfig
    released: Released
    inference: Inference
    answering: Answering
    jobs: Jobs
    tokens: Tokens
    door: Door
    metrics: Metrics
    limit: RateLimit
    places: Places
    exports: Places
    health: HealthProbe
    open_to_all: Callable[[str], bool]  # whether every token may ask the agent of a pipeline

    def find(self, caller: Caller, name: str) -> ReleasedAgent:
        """A released agent this caller may know of.

        Raises:
            NotReleased: there is none, or it is another elder's: both look the same.
            HeldBack: the gate let no version of it answer.
        """
        return self.released.find(name, lambda agent: caller.may_see(agent[1]))

    def find_to_ask(self, caller: Caller, name: str) -> ReleasedAgent:
        """A released agent this caller may ask: also one without an elder, which knows nothing of
        anybody.

        Raises:
            NotReleased: there is none, or it is not for this caller: both look the same.
            HeldBack: the gate let no version of it answer.
        """
        return self.released.find(name, lambda agent: self.may_ask(caller, agent))

    def count(self, answer: Answer) -> None:
        """Count an answer in the metrics."""
        self.metrics.answers.labels(answer.stop_reason).inc()
        self.metrics.tool_calls.inc(answer.tool_calls)

    def may_ask(self, caller: Caller, agent: Agent) -> bool:
        """Whether a caller may ask an agent."""
        return caller.may_see(agent[1]) or (agent[0] == agent[1] and self.open_to_all(agent[0]))


# For the OpenAPI document and its page; the door reads the header itself.
_bearer = HTTPBearer(
    auto_error=False, description="Made with `agent-assets token create`; or log in at /login."
)


def services(request: Request) -> Services:
    """The services of the app."""
    return cast(Services, request.app.state.services)


async def known_caller(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Who asks, within the rate limit.

    Raises:
        Denied: without a valid token.
    """
    serving = services(request)
    address = client_address(request, serving.config.proxies)
    try:
        caller = await run_in_threadpool(serving.door.caller, request)
    except Denied:
        if not serving.limit.take(f"denied {address}"):
            raise HTTPException(429) from None
        raise
    request.state.caller = caller
    if not serving.limit.take(caller.id if caller.id != "local" else address):
        raise HTTPException(429)
    # A family's token may be anywhere; who runs this installation may use all of it.
    if caller.scope == "elder" and not serving.places.take(request, caller.id):
        raise HTTPException(429)
    return caller


ServicesDep = Annotated[Services, Depends(services)]
CallerDep = Annotated[Caller, Depends(known_caller)]


async def _no_reader(caller: CallerDep) -> Caller:
    if caller.scope == "read":
        raise Forbidden(
            "This token may look, and do nothing.", next_step="use a token of scope admin or elder."
        )
    return caller


async def _admin(caller: CallerDep) -> Caller:
    if caller.scope != "admin":
        raise Forbidden("This takes a token of scope admin.", next_step="use one.")
    return caller


async def _operator(caller: CallerDep) -> Caller:
    if caller.scope == "elder":
        raise Forbidden("This takes a token of scope admin or read.", next_step="use one.")
    return caller


WriterDep = Annotated[Caller, Depends(_no_reader)]  # admin, or the elder
AdminDep = Annotated[Caller, Depends(_admin)]
OperatorDep = Annotated[Caller, Depends(_operator)]  # admin or read
