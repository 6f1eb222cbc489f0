"""The page that asks a person for a token, and the log-in in a cookie. The HTTP API and the Dagster
UI share both.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agent_assets.html_pages import html_environment
from agent_assets.serving.door import LOGIN_SECONDS, Door
from agent_assets.serving.forms import local_path, read_form
from agent_assets.serving.tokens import Caller, Denied

if TYPE_CHECKING:
    from jinja2 import Template

LOGIN, LOGOUT = "/login", "/logout"
_TEMPLATES = Path(__file__).parent / "templates"
LONGEST_FORM = 8192  # bytes
_ROLES = {
    "admin": "may do everything",
    "read": "may look, and change nothing",
    "elder": "one elder of the HTTP API",
}


async def login_page(request: Request, door: Door, *, home: str) -> Response:
    """GET /login: the form, or who is logged in.

    Args:
        home: where a log-in leads that was not asked for by a page.
    """
    try:
        caller = await run_in_threadpool(door.caller, request)
    except Denied:
        caller = None
    return _page(_target(request.query_params.get("next"), home), caller=caller)


async def log_in(request: Request, door: Door, *, home: str) -> Response:
    """POST /login: a cookie for a token, and the page that was asked for."""
    form = await read_form(request, longest=LONGEST_FORM)
    if form is None:
        return _page(home, wrong="That is too much for a token.", status=413)
    target = _target(form.get("next"), home)
    try:
        ticket = await run_in_threadpool(door.log_in, form.get("token", "").strip(), request)
    except Denied:
        return _page(target, wrong="This token is not valid, or not any more.", status=401)
    return logged_in(request, door, ticket, target)


def logged_in(request: Request, door: Door, ticket: str, target: str) -> Response:
    """The page that was asked for, with the log-in in a cookie."""
    response = RedirectResponse(target, status_code=303)
    response.set_cookie(
        door.cookie,
        ticket,
        max_age=int(LOGIN_SECONDS),
        httponly=True,
        samesite="strict",
        # A proxy in front of us may speak TLS; the browser says so.
        secure=request.headers.get("origin", "").startswith("https://"),
    )
    return response


async def log_out(request: Request, door: Door) -> Response:
    """POST /logout."""
    return logged_out(door, LOGIN)


def logged_out(door: Door, target: str) -> Response:
    """A page without a log-in: the cookie is gone."""
    response = RedirectResponse(target, status_code=303)
    response.delete_cookie(door.cookie, httponly=True, samesite="strict")
    return response


def ask_to_log_in(request: HTTPConnection) -> Response:
    """What a person gets who opens a page without a log-in: the form, which leads back to that
    page.
    """
    query = f"?{request.url.query}" if request.url.query else ""
    # A link from another site comes without our cookie (SameSite): loaded once more by this page,
    # it has it.
    reload = request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    return _page(_target(request.url.path + query, "/"), status=401, reload=reload)


def wants_page(connection: HTTPConnection) -> bool:
    """Whether an answer is for a person's eyes."""
    mode = connection.headers.get("sec-fetch-mode", "navigate")
    return mode == "navigate" and "text/html" in connection.headers.get("accept", "")


def _page(target: str, *, status: int = 200, caller: Caller | None = None, **more: Any) -> Response:
    from markupsafe import Markup

    style = _style()
    values: dict[str, Any] = {
        "style": Markup(style),
        "next": target,
        "login": LOGIN,
        "logout": LOGOUT,
    }
    values |= {"caller": caller, "role": None if caller is None else _ROLES[caller.scope]}
    values |= {"goes_on": target != LOGIN, "wrong": None, "reload": False} | more
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action "
        "'self'; "
        "frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": f"{policy}; base-uri 'none'", "Cache-Control": "no-store"}
    # Not `no-referrer`: a browser then sends our own form with `Origin: null`, as of a page we do
    # not know.
    headers |= {
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(_template().render(values), status, headers)


def _target(path: str | None, otherwise: str) -> str:
    """Where a log-in leads: not to a log-in."""
    target = local_path(path, otherwise)
    return otherwise if target.partition("?")[0] in {LOGIN, LOGOUT} else target


@cache
def _style() -> str:
    return (_TEMPLATES / "login.css").read_text(encoding="utf-8")


@cache
def _template() -> "Template":
    return html_environment(_TEMPLATES).get_template("login.html.jinja")
