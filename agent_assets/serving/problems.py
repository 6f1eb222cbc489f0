"""Errors as problem+json (RFC 9457): what happened, what to do next, and the request's id to look
for in the log. Below `/v1` they have OpenAI's form.
"""

import http
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agent_assets.errors import (
    AgentAssetsError,
    BaseModelError,
    ConfigError,
    EngineError,
    ErasureError,
    MemoryDataError,
    MongoUnavailable,
    ReleaseConflict,
    ReleaseError,
    ServingError,
    StoreError,
    ToolServerError,
    UnknownSubject,
)
from agent_assets.serving.adapters import Busy
from agent_assets.serving.answering import ModelUnavailable, TooLong
from agent_assets.serving.dagster_web import DagsterUnavailable
from agent_assets.serving.job_assets import NoSuchElder, RowsNotReady
from agent_assets.serving.jobs import JobUnknown
from agent_assets.serving.openai_errors import (
    is_openai,
    not_there,
    openai_error,
    openai_status,
    wrong_field,
)
from agent_assets.serving.released import NotReleased
from agent_assets.serving.tokens import Denied, Forbidden
from agent_assets.store.disk import disk_failure

log = logging.getLogger("agent_assets.serving")

# The first that fits counts.
_STATUS: tuple[tuple[type[AgentAssetsError], int], ...] = (
    (Denied, 401),
    (Forbidden, 403),
    (NotReleased, 404),
    (JobUnknown, 404),
    (NoSuchElder, 404),
    (RowsNotReady, 503),
    (TooLong, 422),
    (UnknownSubject, 404),
    (ErasureError, 409),
    (MemoryDataError, 422),
    (ReleaseConflict, 409),
    (DagsterUnavailable, 503),
    (ModelUnavailable, 503),
    (Busy, 503),
    (MongoUnavailable, 503),
    (ToolServerError, 503),
    (EngineError, 503),
    (StoreError, 503),
    (BaseModelError, 503),
    (ReleaseError, 409),
    (ServingError, 409),
    (ConfigError, 500),
)

_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "10"},
    503: {"Retry-After": "10"},
}


def problem(
    request: Request,
    status: int,
    detail: str,
    next_step: str | None = None,
    *,
    more: dict[str, Any] | None = None,
    retry_after: int | None = None,
) -> JSONResponse:
    """The response."""
    headers = _HEADERS.get(status)
    if retry_after is not None:
        headers = {"Retry-After": str(retry_after)}
    if is_openai(request.url.path):
        status = openai_status(status)
        return JSONResponse(openai_error(status, detail, next_step), status, headers)
    content = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "next_step": next_step,
        "request_id": getattr(request.state, "request_id", ""),
        **(more or {}),
    }
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def http_status(error: AgentAssetsError) -> int:
    """The HTTP status of one of our errors."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def add_handlers(app: FastAPI) -> None:
    """Turn every error of the app into a problem."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AgentAssetsError)
        status = http_status(error)
        if status >= 500:
            fields = {
                "request_id": request.state.request_id,
                "error": type(error).__name__,
                "detail": error.message,
            }
            log.error("request failed", extra={"fields": fields})
        retry_after = error.retry_after if isinstance(error, Busy) else None
        return problem(request, status, error.message, error.next_step, retry_after=retry_after)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # What was sent may be what somebody said: only where it is wrong is told, never what it
        # was.
        wrong = [
            {
                "at": ".".join(str(part) for part in detail["loc"]),
                "what": detail["type"],
                "message": detail["msg"],
            }
            for detail in error.errors()
        ]
        if is_openai(request.url.path):
            message, param = wrong_field(wrong)
            return JSONResponse(openai_error(400, message, None, param=param), 400)
        return problem(
            request,
            422,
            "The request is not what this route takes.",
            "see /docs.",
            more={"errors": wrong[:20]},
        )

    async def other(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        path = request.url.path
        if is_openai(path) and error.status_code in (404, 405):
            status, message = error.status_code, not_there(request.method, path)
            return JSONResponse(openai_error(status, *message, code="unknown_url"), status)
        next_step = {
            400: "send JSON in UTF-8.",
            404: "see /docs.",
            405: "see /docs.",
            413: "send less.",
        }.get(error.status_code)
        return problem(
            request, error.status_code, http.HTTPStatus(error.status_code).phrase + ".", next_step
        )

    async def disk(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OSError)
        known = disk_failure(error)
        if known is None:
            raise error
        return await ours(request, known)

    app.add_exception_handler(AgentAssetsError, ours)
    app.add_exception_handler(OSError, disk)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
