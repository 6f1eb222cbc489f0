"""A2A: agent cards, and the addresses to which other agents send messages."""

import asyncio
from typing import Any, cast

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from fastapi import APIRouter, Request
from starlette.responses import Response

from agent_assets.serving.a2a.cards import PATH, card_of, public_card
from agent_assets.serving.a2a.server import A2aServer
from agent_assets.serving.context import CallerDep, ServicesDep, WriterDep
from agent_assets.serving.routes.strict_json import StrictJsonRoute

router = APIRouter(tags=["a2a"], route_class=StrictJsonRoute)
_OLD_CARD_PATH = "/.well-known/agent.json"  # of A2A before 0.3


def _server(request: Request) -> A2aServer:
    return cast(A2aServer, request.app.state.a2a)


@router.get(AGENT_CARD_WELL_KNOWN_PATH)
@router.get(_OLD_CARD_PATH)
async def card(request: Request) -> dict[str, Any]:
    """The card of this installation. It names nobody; `GetExtendedAgentCard` lists the agents that
    a token may ask.
    """
    return agent_card_to_dict(public_card(_server(request).base_url(request)))


@router.get(f"{PATH}/{{agent_id}}{AGENT_CARD_WELL_KNOWN_PATH}")
@router.get(f"{PATH}/{{agent_id}}{_OLD_CARD_PATH}")
async def agent_card(
    agent_id: str, request: Request, serving: ServicesDep, caller: CallerDep
) -> dict[str, Any]:
    """The card of one agent."""
    released = await asyncio.to_thread(serving.find_to_ask, caller, agent_id)
    return agent_card_to_dict(card_of(released.id, _server(request).base_url(request)))


@router.post(PATH, response_class=Response)
async def messages(request: Request, caller: WriterDep) -> Response:
    """JSON-RPC of A2A: `message/send`, `message/stream`, `tasks/get`, `tasks/cancel`, and their
    names in A2A 1.0. The metadata of a message name the agent as `agent_id`; without it the elder
    of the token is asked.
    """
    return await _server(request).handle(request)


@router.post(f"{PATH}/{{agent_id}}", response_class=Response)
async def messages_to(
    agent_id: str, request: Request, serving: ServicesDep, caller: WriterDep
) -> Response:
    """The same to one agent."""
    await asyncio.to_thread(serving.find_to_ask, caller, agent_id)
    return await _server(request).handle(request)
