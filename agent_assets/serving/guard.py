"""Around every request: an id, a log line without content, metrics, limits, and the rule that pages
cannot reach us.
"""

import json
import logging
import re
import time
import traceback
import uuid
from collections import Counter, OrderedDict
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_assets.errors import AgentAssetsError
from agent_assets.serving.browsers import Pages
from agent_assets.serving.problems import http_status, problem

log = logging.getLogger("agent_assets.serving")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CALLERS = 10_000
_NOTHING_SENT = 499  # in log and metrics: the client went away


class Metrics:
    """The Prometheus metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = prometheus_client.Counter(
            "agent_assets_requests_total", "Requests.", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "agent_assets_request_seconds",
            "Seconds until the whole response was sent.",
            ("method", "route"),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "agent_assets_requests_in_flight", "Requests going on.", registry=self.registry
        )
        self.answers = prometheus_client.Counter(
            "agent_assets_answers_total",
            "Answers by why they ended.",
            ("reason",),
            registry=self.registry,
        )
        self.tool_calls = prometheus_client.Counter(
            "agent_assets_tool_calls_total", "Tool calls of agents.", registry=self.registry
        )
        self.loaded = Gauge(
            "agent_assets_adapters_loaded", "Adapters in the model server.", registry=self.registry
        )
        self.restarts = Gauge(
            "agent_assets_model_server_restarts", "Restarts after a crash.", registry=self.registry
        )


class RateLimit:
    """A token bucket per caller: `per_minute` requests on average, as many at once."""

    def __init__(self, per_minute: int) -> None:
        self._rate, self._burst = per_minute / 60, float(per_minute)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> bool:
        """Whether this request is within the limit. A refused one costs nothing: too fast still
        gets the rate.
        """
        now = time.monotonic()
        left, at = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        granted = left >= 1
        self._buckets[caller] = (left - 1 if granted else left, now)
        while len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return granted


class Places:
    """How many requests of each caller may go on at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self, request: Request, caller: str) -> bool:
        """Whether the caller has a place left; it is given back when the request has ended."""
        if self._taken[caller] >= self._most:
            return False
        self._taken[caller] += 1
        request.state.at_end.append(lambda: self._give_back(caller))
        return True

    def _give_back(self, caller: str) -> None:
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]


class Guard:
    """ASGI middleware.

    Args:
        pages: which web pages may reach us.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        pages: Pages,
        max_body_bytes: int,
    ) -> None:
        self._app, self._metrics, self._pages = app, metrics, pages
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request_id = request.headers.get("x-request-id", "")
        request.state.request_id = (
            request_id if _REQUEST_ID.fullmatch(request_id) else uuid.uuid4().hex
        )
        request.state.at_end = []
        started, status = time.monotonic(), _NOTHING_SENT

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request.state.request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-store"),
                ]
            await send(message)

        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body_bytes:
                raise HTTPException(413)
            return message

        self._metrics.in_flight.inc()
        try:
            if self._too_big(request):
                refused = problem(request, 413, "The request is too big.", "send less.")
                await refused(scope, receive, observed)
            elif await self._pages.foreign(request):
                refused = problem(
                    request,
                    403,
                    "Web pages may not call this API.",
                    "list the page in cors_origins.",
                )
                await refused(scope, receive, observed)
            else:
                await self._app(scope, counted, observed)
        except AgentAssetsError as error:
            # Of the guard itself: those of routes were answered below
            refused = problem(request, http_status(error), error.message, error.next_step)
            await refused(scope, receive, observed)
        except Exception as error:  # the last resort: nothing below foresaw it
            fields = {"request_id": request.state.request_id}
            log.error("unforeseen error", exc_info=error, extra={"fields": fields})
            if status != _NOTHING_SENT:
                # the server then breaks the response off, so that nobody takes it for a whole one
                raise
            refused = problem(
                request, 500, "The API failed.", "look for the request id in its log."
            )
            await refused(scope, receive, observed)
        finally:
            for give_back in request.state.at_end:
                give_back()
            self._metrics.in_flight.dec()
            self._note(request, status, time.monotonic() - started)

    def _too_big(self, request: Request) -> bool:
        """What a request says of itself; one that says nothing is cut off when it has sent too
        much.
        """
        length = request.headers.get("content-length", "")
        return length.isdigit() and int(length) > self._max_body_bytes

    def _note(self, request: Request, status: int, seconds: float) -> None:
        route = getattr(request.scope.get("route"), "path", "(none)")
        self._metrics.requests.labels(request.method, route, str(status)).inc()
        self._metrics.seconds.labels(request.method, route).observe(seconds)
        caller = getattr(request.state, "caller", None)
        fields = {
            "request_id": request.state.request_id,
            "method": request.method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "caller": None if caller is None else caller.id,
        }
        log.info("request", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """One JSON object per line. Messages are fixed words, numbers and ids; no text of conversations
    comes here: of an exception its class and where it was raised.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **fields,
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= _raised(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _raised(error: BaseException) -> dict[str, Any]:
    """Class and frames of an error and of what caused it. Not its message: that may quote what
    somebody said.
    """
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    description: dict[str, Any] = {"error": type(error).__name__, "frames": frames}
    if isinstance(error, BaseExceptionGroup):
        description["errors"] = [_raised(inner) for inner in error.exceptions]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return description if cause is None else description | {"cause": _raised(cause)}
