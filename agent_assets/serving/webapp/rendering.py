"""One page: its template, its language, its headers, and what a person sees who may not open it."""

import hmac
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from agent_assets.errors import AgentAssetsError
from agent_assets.html_pages import html_environment
from agent_assets.serving.context import services
from agent_assets.serving.forms import read_form
from agent_assets.serving.problems import http_status
from agent_assets.serving.tokens import Caller, Denied, Forbidden
from agent_assets.serving.webapp.words import COOKIE, NAMES, words_for

if TYPE_CHECKING:
    from jinja2 import Environment

HOME, LOG_IN, LOG_OUT = "/app", "/app/log-in", "/app/log-out"
LONGEST_FORM = 200_000  # bytes: the longest memory, percent-encoded
_YEAR = 365 * 86_400
_TEMPLATES = Path(__file__).parent / "templates"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    # Not `no-referrer`: a browser then sends our own form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_PURPOSE = "csrf"


class PageRoute(APIRoute):
    """A route for a person's eyes: its errors are pages, and who is not known may log in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler."""
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                response = await handle(request)
            except Denied:
                response = _to_log_in(request)
            except AgentAssetsError as error:
                response = problem_page(request, http_status(error), error.message, error.next_step)
            except RequestValidationError:
                response = problem_page(request, 422)
            except HTTPException as error:
                response = problem_page(request, error.status_code)
            if (chosen := request.query_params.get("lang")) in NAMES:
                response.set_cookie(COOKIE, chosen, max_age=_YEAR, samesite="lax", httponly=True)
            return response

        return handle_page


def page(
    request: Request, template: str, *, caller: Caller | None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page in the reader's language.

    Args:
        template: name below `templates/`, without its ending.
        caller: who reads it; None before a log-in.
    """
    words = words_for(request)
    shown: dict[str, Any] = {
        "t": words,
        "caller": caller,
        "csrf": csrf_token(request, caller),
        "languages": [
            (code, name, _same_page(request, code))
            for code, name in NAMES.items()
            if code != words.code
        ],
        "section": None,
        "notice": None,
        "LOG_OUT": LOG_OUT,
    }
    text = _environment().get_template(f"{template}.html.jinja").render(shown | values)
    return HTMLResponse(text, status, _HEADERS)


def problem_page(
    request: Request, status: int, message: str = "", next_step: str | None = None
) -> HTMLResponse:
    """What went wrong, and what to do next."""
    words = words_for(request)
    known = f"problem.{status}"
    return page(
        request,
        "problem",
        caller=getattr(request.state, "caller", None),
        status=status,
        heading=words(known if words.has(known) else "problem.other"),
        message=message,
        next_step=next_step or "",
        request_id=request.state.request_id,
    )


def csrf_token(request: Request, caller: Caller | None) -> str:
    """What a form of ours carries, and a form of somebody else cannot know: it belongs to this
    log-in.
    """
    door = services(request).door
    log_in = request.cookies.get(door.cookie) or (caller.id if caller is not None else "")
    return door.seal.sign(_PURPOSE, log_in)[:32]


def check_csrf(request: Request, caller: Caller, token: str) -> None:
    """Raises Forbidden unless the token is that of this log-in."""
    if not hmac.compare_digest(csrf_token(request, caller).encode(), token.encode()):
        raise Forbidden("This form is from another log-in.", next_step="load the page again.")


async def checked_form(request: Request, caller: Caller) -> dict[str, str]:
    """The fields of a form of ours.

    Raises:
        Forbidden: it is from another log-in.
        HTTPException: it is too long.
    """
    form = await read_form(request, longest=LONGEST_FORM)
    if form is None:
        raise HTTPException(413)
    check_csrf(request, caller, form.get("csrf", ""))
    return form


def back_to(path: str, **query: str | int) -> RedirectResponse:
    """After a form: the page again, by GET."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, status_code=303)


def _to_log_in(request: Request) -> Response:
    """The form, which leads back to this page; a form that was sent leads to the front page."""
    path = request.url.path if request.method == "GET" else HOME
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return back_to(LOG_IN, next=path + query)


def _same_page(request: Request, code: str) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    path = request.url.path if request.method == "GET" else HOME
    return f"{path}?{urlencode([*kept, ('lang', code)])}"


@cache
def _environment() -> "Environment":
    return html_environment(_TEMPLATES)
