"""The A2A server of one app: JSON-RPC of A2A 1.0 and 0.3 at the same address."""

import logging

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types.a2a_pb2 import AgentCard
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from agent_assets.serving.a2a.cards import AGENT_ID, extended_card, public_card
from agent_assets.serving.a2a.executor import CALLER, AgentAnswers
from agent_assets.serving.a2a.memory import BoundedTasks
from agent_assets.serving.context import Services
from agent_assets.serving.tokens import Caller

_BASE_URL = "base_url"
_MOST_SKILLS = 100


class _A2aUser(User):
    """A caller as the SDK knows them: whose tasks are whose is decided by the name."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def user_name(self) -> str:
        return self._caller.id


class _CallContexts(DefaultServerCallContextBuilder):
    """Hands the caller, whom our own door let in, and the agent of the address to the SDK."""

    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.user = _A2aUser(request.state.caller)
        context.state.update(
            {
                CALLER: request.state.caller,
                AGENT_ID: request.path_params.get(AGENT_ID),
                _BASE_URL: request.state.base_url,
            }
        )
        context.state.pop("auth", None)
        return context


class A2aServer:
    """Answers JSON-RPC requests of callers that are known already."""

    def __init__(self, services: Services) -> None:
        # What fails in the SDK is logged by it with the request: that is what people said.
        logging.getLogger("a2a").setLevel(logging.CRITICAL + 1)
        self._services = services
        card = public_card("")
        tasks = BoundedTasks()
        self._answers = AgentAnswers(services, tasks)
        handler = DefaultRequestHandlerV2(
            self._answers,
            tasks,
            card,
            extended_agent_card=card,
            extended_card_modifier=self._extended,
        )
        self._dispatcher = JsonRpcDispatcher(
            handler, context_builder=_CallContexts(), enable_v0_3_compat=True
        )

    async def forget(self, agent: str) -> int:
        """Drop tasks and conversations of an agent; returns how much it was."""
        return await self._answers.forget(agent)

    def base_url(self, request: Request) -> str:
        """Where clients reach the API."""
        return self._services.config.public_url or str(request.base_url).rstrip("/")

    async def handle(self, request: Request) -> Response:
        """Answer one request; `request.state.caller` is whose it is."""
        request.state.base_url = self.base_url(request)
        return await self._dispatcher.handle_requests(request)

    async def _extended(self, card: AgentCard, context: ServerCallContext) -> AgentCard:
        caller: Caller = context.state[CALLER]

        def agents() -> list[str]:
            released = self._services.released.agents()
            return [agent[1] for agent in released if self._services.may_ask(caller, agent)]

        names = await run_in_threadpool(agents)
        return extended_card(public_card(context.state[_BASE_URL]), names[:_MOST_SKILLS])
