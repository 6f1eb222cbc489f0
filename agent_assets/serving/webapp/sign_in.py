"""Log-in and log-out of the web app, and the files that its pages load."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from agent_assets.serving.context import CallerDep, ServicesDep
from agent_assets.serving.forms import local_path, read_form
from agent_assets.serving.login import LONGEST_FORM, logged_in, logged_out
from agent_assets.serving.tokens import Denied
from agent_assets.serving.webapp.rendering import (
    HOME,
    LOG_IN,
    LOG_OUT,
    PageRoute,
    back_to,
    checked_form,
    page,
)

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@router.get(LOG_IN)
async def log_in_form(request: Request, serving: ServicesDep) -> Response:
    """The form; who is let in already goes on to the page that was asked for."""
    target = _target(request.query_params.get("next"))
    try:
        await run_in_threadpool(serving.door.caller, request)
    except Denied:
        # A link from another site comes without our cookie (SameSite): loaded once more by this
        # page, it has it.
        reload = request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        return page(request, "log_in", caller=None, target=target, wrong=False, reload=reload)
    return back_to(target)


@router.post(LOG_IN)
async def log_in_by_form(request: Request, serving: ServicesDep) -> Response:
    """A cookie for a token."""
    fields = await read_form(request, longest=LONGEST_FORM)
    if fields is None:
        raise HTTPException(413)
    target = _target(fields.get("next"))
    try:
        ticket = await run_in_threadpool(
            serving.door.log_in, fields.get("token", "").strip(), request
        )
    except Denied:
        return page(
            request, "log_in", caller=None, status=401, target=target, wrong=True, reload=False
        )
    return logged_in(request, serving.door, ticket, target)


@router.post(LOG_OUT)
async def log_out_by_form(request: Request, serving: ServicesDep, caller: CallerDep) -> Response:
    """The cookie is gone."""
    await checked_form(request, caller)
    return logged_out(serving.door, LOG_IN)


@router.get("/app/static/{name}")
async def static(name: str) -> Response:
    """A style sheet, a script or a picture of ours."""
    if name not in _files():
        raise HTTPException(404)
    content, kind = _files()[name]
    return Response(content, media_type=kind)


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    return {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in _STATIC.iterdir()}


def _target(path: str | None) -> str:
    target = local_path(path, HOME)
    return HOME if target.partition("?")[0] in {LOG_IN, LOG_OUT} else target
