"""Errors below `/v1` as OpenAI's clients read them: `{"error": {message, type, param, code}}`."""

from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "/v1"
_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    503: "model_unavailable",
}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_INSTEAD = {
    "responses": "ask POST /v1/chat/completions; OpenAI's SDKs call it `chat.completions`, and the "
    'Vercel AI SDK `openai.chat("id")`.',
    "embeddings": "ask another server for embeddings; agents of this one only chat.",
    "completions": "ask POST /v1/chat/completions.",
}


def is_openai(path: str) -> bool:
    """Whether a path is of OpenAI's protocol."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def openai_status(status: int) -> int:
    """The status that OpenAI gives: what is wrong in a request is 400."""
    return 400 if status == 422 else status


def openai_error(
    status: int,
    message: str,
    next_step: str | None,
    *,
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """The body. Clients show the message alone, so what to do next is part of it."""
    usual = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": message if next_step is None else f"{message} Next: {next_step}",
            "type": _TYPES.get(status, usual),
            "param": param,
            "code": code or _CODES.get(status),
        }
    }


def wrong_field(errors: Sequence[Mapping[str, str]]) -> tuple[str, str | None]:
    """A message about the first wrong fields of a body, and the name of the first."""
    problems = "; ".join(f"{error['at']}: {error['message']}" for error in errors[:3])
    param = errors[0]["at"].removeprefix("body.") if errors else None
    return f"The request is not what this route takes: {problems}.", param


def not_there(method: str, path: str) -> tuple[str, str]:
    """What is said of a path that this API has not, and what to do instead."""
    name = path.removeprefix(f"{PREFIX}/").partition("/")[0]
    usual = "this API has POST /v1/chat/completions and GET /v1/models."
    return f"There is no {method} {path[:80]} here.", _INSTEAD.get(name, usual)
