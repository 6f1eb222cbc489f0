"""In front of the Dagster UI: pages of other origins are refused, and Dagster is told who asks."""

import time
import unicodedata
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_assets.errors import AgentAssetsError, MongoUnavailable
from agent_assets.serving.browsers import Pages
from agent_assets.serving.door import Door
from agent_assets.serving.login import (
    LOGIN,
    LOGOUT,
    ask_to_log_in,
    log_in,
    log_out,
    login_page,
    wants_page,
)
from agent_assets.serving.tokens import Caller, Denied, Forbidden
from agent_assets.serving.ui.webserver import CALLER, may_change

_GRAPHQL = "/graphql"
_READING = {"GET", "HEAD"}
_ASK_AGAIN_SECONDS = 5.0
_POLICY_VIOLATION, _UNSUPPORTED = 1008, 1003


class UiGuard:
    """ASGI middleware around `create_webserver`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door, self._pages = app, door, Pages(door.tokens.any)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one websocket until it ends."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = await self._refusal(connection)
        if refusal is None and scope["type"] == "http" and scope["path"] in {LOGIN, LOGOUT}:
            refusal = await self._log_in_or_out(Request(scope, receive))
        if refusal is None:
            try:
                scope[CALLER] = await self._caller(connection)
            except AgentAssetsError as error:
                refusal = self._denial(connection, error)
        if refusal is None and scope["type"] == "http" and not _may(connection):
            refusal = _plain(403, "This token may look, and do nothing.")
        if refusal is not None:
            await _answer(refusal, scope, receive, send)
        elif scope["type"] == "http":
            await self._app(scope, receive, _framed_by_nobody(send))
        else:
            socket = _Socket(lambda: self._caller(connection), receive, send)
            await self._app(scope, socket.receive, socket.send)

    async def _refusal(self, connection: HTTPConnection) -> Response | None:
        if not _is_plain(connection.scope["path"]):
            return _plain(400, "The path holds control characters.")
        if await self._foreign(connection):
            return _plain(403, "Pages of other origins may not reach the Dagster UI.")
        return None

    async def _foreign(self, connection: HTTPConnection) -> bool:
        try:
            return await self._pages.foreign(connection)
        except MongoUnavailable:
            # Whether there are tokens is not known: then only names of this machine count.
            return True

    async def _caller(self, connection: HTTPConnection) -> Caller:
        caller = await run_in_threadpool(self._door.caller, connection)
        if caller.scope == "elder":
            raise Forbidden(
                "A token of one elder does not open the Dagster UI.", next_step="use the HTTP API."
            )
        return caller

    async def _log_in_or_out(self, request: Request) -> Response:
        endpoint = ("GET" if request.method in _READING else request.method, request.scope["path"])
        try:
            if endpoint == ("GET", LOGIN):
                return await login_page(request, self._door, home="/")
            if endpoint == ("POST", LOGIN):
                return await log_in(request, self._door, home="/")
            if endpoint == ("POST", LOGOUT):
                return await log_out(request, self._door)
        except AgentAssetsError as error:
            return self._denial(request, error)
        return _plain(405, "This page takes a form.")

    def _denial(self, connection: HTTPConnection, error: AgentAssetsError) -> Response:
        status = 401 if isinstance(error, Denied) else 403 if isinstance(error, Forbidden) else 503
        if status == 401 and self._door.tokens.known_to_exist and wants_page(connection):
            return ask_to_log_in(connection)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return JSONResponse(
            {"detail": error.message, "next_step": error.next_step}, status, headers
        )


class _Socket:
    """One websocket: text alone, and cut when its caller is not let in any more."""

    def __init__(self, ask: Callable[[], Awaitable[Caller]], receive: Receive, send: Send) -> None:
        self._ask, self._receive, self._send = ask, receive, send
        self._asked = time.monotonic()
        self._cut = False

    async def receive(self) -> Message:
        """What the client sends."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            if message.get("text") is None:
                return await self._end(_UNSUPPORTED)
            if not await self._still_let_in():
                return await self._end(_POLICY_VIOLATION)
        return message

    async def send(self, message: Message) -> None:
        """What Dagster sends."""
        if self._cut:
            return  # what Dagster still has to say is for nobody
        if message["type"] == "websocket.send" and not await self._still_let_in():
            await self._end(_POLICY_VIOLATION)
            return
        await self._send(message)

    async def _end(self, code: int) -> Message:
        if not self._cut:
            self._cut = True
            await self._send({"type": "websocket.close", "code": code})
        return {"type": "websocket.disconnect", "code": code}

    async def _still_let_in(self) -> bool:
        if self._cut:
            return False
        if time.monotonic() - self._asked > _ASK_AGAIN_SECONDS:
            try:
                await self._ask()
            except AgentAssetsError:
                return False
            self._asked = time.monotonic()
        return True


def _may(connection: HTTPConnection) -> bool:
    """Readers may GET, and POST to the one path where the web server judges what they send. Other
    spellings that Dagster's router takes for the same path do not count.
    """
    if connection.scope["method"] in _READING or may_change(connection):
        return True
    return bool(connection.scope["method"] == "POST" and connection.scope["path"] == _GRAPHQL)


def _is_plain(path: str) -> bool:
    """Routers match a path that ends in a line feed as one without it; nothing here has control
    characters.
    """
    return not any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in path)


def _framed_by_nobody(send: Send) -> Send:
    """A page of ours inside another's frame could be clicked on unseen."""

    async def framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"x-frame-options", b"SAMEORIGIN")]
            message = {**message, "headers": [*headers, (b"x-content-type-options", b"nosniff")]}
        await send(message)

    return framed


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    await receive()  # the request to connect
    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})  # answered with 403


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)
