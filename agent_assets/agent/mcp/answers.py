"""What a tool server sends, sorted so that a message that cannot be read costs one call.

The SDK hands on what it cannot parse as an exception without an id, and whoever waits for that
answer waits until the time is up. Here the call it answers is looked for in the raw text, and gets
an error that says what is wrong with it. Lines that are no messages at all (a print in the server)
answer nothing and are dropped.
"""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self, TypeGuard

from mcp.shared.message import SessionMessage
from mcp_types import (
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream, WriteStream

# In what is not JSON; servers that print a Python object write single quotes.
_ID = re.compile(r"""["']id["']\s*:\s*["']?(\d+)""")
_ANSWERS = re.compile(r"""["'](?:result|error)["']\s*:""")
_ASKS = re.compile(r"""["']method["']\s*:""")
_VERSION = re.compile(r"""["']jsonrpc["']\s*:""")
_VARIANT_AND_FIELD = 2  # a problem with a field of the message: ("JSONRPCResponse", "jsonrpc")
_PYDANTIC_ERROR = re.compile(r"Invalid JSON: (.*?) \[type=", re.DOTALL)


class Answers:
    """Which requests wait for an answer, and what stands in for one that cannot be read.

    An answer whose id is lost is held back until no more requests wait than answers were lost: then
    it is known whose they were.
    """

    def __init__(self) -> None:
        self._asked: set[RequestId] = set()
        self._waiting: set[RequestId] = set()
        self._lost: list[str] = []

    def sent(self, message: SessionMessage) -> None:
        """Note a request; a request that is given up waits no more."""
        match message.message:
            case JSONRPCRequest(id=request):
                self._asked.add(request)
                self._waiting.add(request)
            case JSONRPCNotification(method="notifications/cancelled", params=dict(params)):
                self._waiting.discard(params.get("requestId", ""))

    def received(self, item: SessionMessage | Exception) -> Iterator[SessionMessage | Exception]:
        """What the session is given for one item of the server."""
        if isinstance(item, Exception):
            yield from self._unreadable(item)
        elif isinstance(item.message, JSONRPCResponse | JSONRPCError):
            yield from self._answered(item, item.message)
        else:
            yield item
        yield from self._whose_are_lost()

    def _answered(
        self, item: SessionMessage, answer: JSONRPCResponse | JSONRPCError
    ) -> Iterator[SessionMessage]:
        request = _as_id(answer.id)
        if request in self._asked:
            self._waiting.discard(request)
            yield item if isinstance(answer, JSONRPCResponse) else _reworded(item, answer)
        elif isinstance(answer, JSONRPCError):
            self._lost.append(answer.error.message)
        else:
            self._lost.append(_cannot_be_read("no request has its id"))

    def _unreadable(self, error: Exception) -> Iterator[SessionMessage]:
        text, parsed, reason = _what_is_wrong(error)
        ids = set(_answered_ids(text, parsed))
        for request in ids & self._waiting:
            self._waiting.discard(request)
            yield _error(request, reason)
        if not ids & self._asked and _is_answer(text):
            self._lost.append(reason)

    def _whose_are_lost(self) -> Iterator[SessionMessage]:
        if self._lost and len(self._waiting) <= len(self._lost):
            reason = self._lost[0]
            yield from (_error(request, reason) for request in sorted(self._waiting, key=str))
            self._waiting.clear()
            self._lost.clear()


class ReceivedMessages:
    """What a server sends, sorted by `Answers`."""

    def __init__(self, stream: "ReadStream[SessionMessage | Exception]", answers: Answers) -> None:
        self._stream, self._answers = stream, answers
        self._sorted: list[SessionMessage | Exception] = []

    async def receive(self) -> SessionMessage | Exception:
        """The next of them."""
        while not self._sorted:
            self._sorted += self._answers.received(await self._stream.receive())
        return self._sorted.pop(0)

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while not self._sorted:
            self._sorted += self._answers.received(await anext(self._stream))
        return self._sorted.pop(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class SentMessages:
    """What is sent to a server, noted in `Answers`."""

    def __init__(self, stream: "WriteStream[SessionMessage]", answers: Answers) -> None:
        self._stream, self._answers = stream, answers

    async def send(self, item: SessionMessage, /) -> None:
        """Send one."""
        self._answers.sent(item)
        await self._stream.send(item)

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _what_is_wrong(error: Exception) -> tuple[str, list[object], str]:
    """The raw text of what could not be parsed, its JSON values as far as there are any, and the
    reason.
    """
    if not isinstance(error, ValidationError):
        return "", [], _cannot_be_read(type(error).__name__)
    problems = error.errors(include_url=False)
    kind = problems[0]["type"]
    if kind == "string_unicode":
        text = str(problems[0]["input"])
        return text, list(_values(text)), _cannot_be_read("it holds bytes that are not UTF-8")
    if kind == "json_invalid":
        text = str(problems[0]["input"])
        detail = str(problems[0].get("ctx", {}).get("error", problems[0]["msg"]))
        return text, list(_values(text)), _invalid_json(detail)
    # valid JSON that is not JSON-RPC: some problem quotes the whole of it
    whole = [problem["input"] for problem in problems if len(problem["loc"]) <= _VARIANT_AND_FIELD]
    parsed = list[object](value for value in whole if isinstance(value, dict | list))[:1]
    text = json.dumps(parsed, ensure_ascii=False)
    return text, parsed, _cannot_be_read("it is not a JSON-RPC message")


def _values(text: str) -> Iterator[object]:
    """The JSON values that stand one after the other at the beginning of a text; Python reads more
    than the standard allows (control characters, half surrogates).
    """
    decoder, position = json.JSONDecoder(strict=False), len(text) - len(text.lstrip())
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        yield value
        while text[position : position + 1].isspace():
            position += 1


def _invalid_json(detail: str) -> str:
    """What the parser says, for people."""
    if "unicode code point" in detail:
        return _cannot_be_read("it holds bytes that are not UTF-8")
    if "surrogate" in detail or "end of hex escape" in detail:
        return _cannot_be_read("it holds half a surrogate pair")
    return _cannot_be_read(f"it is not valid JSON ({detail})")


def _answered_ids(text: str, parsed: list[object]) -> Iterator[RequestId]:
    """Ids of the requests that a text answers."""
    for value in parsed:
        messages: list[object] = value if isinstance(value, list) else [value]
        yield from (_as_id(message.get("id")) for message in messages if _is_answer_object(message))
    if not parsed and _is_answer(text):
        result = _ANSWERS.search(text)
        before = _ID.findall(text[: result.start()]) if result else []
        candidates = set(before or _ID.findall(text))  # a result may hold ids of its own
        if len(candidates) == 1:
            yield int(candidates.pop())


def _is_answer_object(message: object) -> TypeGuard[dict[str, object]]:
    return (
        isinstance(message, dict)
        and "id" in message
        and "method" not in message
        and not {"result", "error"}.isdisjoint(message)
    )


def _is_answer(text: str) -> bool:
    """Whether a text is an answer, or what is left of one; neither a request nor a print."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    asks, answers = _ASKS.search(text), _ANSWERS.search(text)
    if answers is not None:
        return asks is None or answers.start() < asks.start()
    return asks is None and _VERSION.search(text) is not None


def _as_id(value: object) -> RequestId:
    """An id as the SDK writes them; "" for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    if isinstance(value, float):
        return int(value) if value.is_integer() else ""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _reworded(item: SessionMessage, answer: JSONRPCError) -> SessionMessage:
    """Over HTTP the SDK knows which call an answer belongs to, and quotes the answer."""
    if answer.error.code != PARSE_ERROR or answer.id is None:
        return item
    invalid = _PYDANTIC_ERROR.search(answer.error.message)
    if invalid is not None:
        return _error(answer.id, _invalid_json(invalid[1]))
    if "validation error" in answer.error.message:
        return _error(answer.id, _cannot_be_read("it is not a JSON-RPC message"))
    return item


def _error(request: RequestId, reason: str) -> SessionMessage:
    error = ErrorData(code=PARSE_ERROR, message=reason)
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request, error=error))


def _cannot_be_read(why: str) -> str:
    return f"the server's answer cannot be read: {why}"
