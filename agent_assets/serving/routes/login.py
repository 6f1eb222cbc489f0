"""Log-in of a person in a browser: `/login`, `/logout`. Programs send their token with every
request instead.
"""

from fastapi import APIRouter, Request, Response

from agent_assets.serving import login
from agent_assets.serving.context import ServicesDep

router = APIRouter(include_in_schema=False)
_HOME = login.LOGIN  # says who is logged in: the API has no page of its own


@router.get(login.LOGIN)
async def form(request: Request, serving: ServicesDep) -> Response:
    """The form, or who is logged in."""
    return await login.login_page(request, serving.door, home=_HOME)


@router.post(login.LOGIN)
async def enter(request: Request, serving: ServicesDep) -> Response:
    """A cookie for a token."""
    return await login.log_in(request, serving.door, home=_HOME)


@router.post(login.LOGOUT)
async def leave(request: Request, serving: ServicesDep) -> Response:
    """The cookie is gone."""
    return await login.log_out(request, serving.door)
