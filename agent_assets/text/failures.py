"""Does a result say that its call failed, although its server sent it as an answer?

Many servers do: `Document harbor.docx does not exist`, `{"success": false, "message": ...}`. A
model that learns such calls learns to fail. The other mistake costs as much: `No open issues`, a
log, a build that failed, or a document about failures is what was asked for. So wording alone
decides only about short texts, and the weaker it is, the more it has to speak of the call itself.
"""

import json
import re
from collections.abc import Mapping
from functools import cached_property

from agent_assets.conversations.messages import JsonObject
from agent_assets.text import failure_words as words
from agent_assets.text.own_words import scalars

_FALSE_FLAGS = frozenset({"success", "succeeded", "ok", "successful"})
_TRUE_FLAGS = frozenset({"error", "failed", "haserror"})
_STATUS = frozenset({"status", "outcome", "result"})
_FAILED_STATUS = frozenset({"error", "fail", "failed", "failure", "exception", "invalid"})
_COMPLAINTS = frozenset(
    {"error", "errormessage", "errormsg", "errordetails", "exception", "traceback", "fault"}
)
_MESSAGES = frozenset({"message", "msg", "reason", "detail", "details"})
# What an object says about a failure beside it: none of it was asked for.
_ABOUT_FAILURE = (
    _FALSE_FLAGS
    | _TRUE_FLAGS
    | _COMPLAINTS
    | _MESSAGES
    | frozenset(
        {"errors", "errorcode", "errortype", "hint", "suggestion", "suggestions", "help", "code"}
        | {"status", "statuscode", "type", "stack", "exitcode", "stderr", "requestid"}
        | {"timestamp", "title"}
    )
)
_TESTING = frozenset({"validate", "valid", "check", "verify", "exists", "lint", "test"})
_NO_COMPLAINTS = frozenset({"", "none", "null", "no error", "no", "false", "0"})
MAX_PARTS = 20  # lines of a result, each about one thing
MAX_AROUND_ECHO = 40  # characters, beside an argument that a result repeats
_NO_VALUES: tuple[object, ...] = ("", None, False, 0)


class CalledTool:
    """A call, and what a result may repeat of it."""

    def __init__(self, tool: str, arguments: JsonObject) -> None:
        self.tool, self.arguments = tool, arguments

    def is_mentioned_in(self, text: str) -> bool:
        """Whether a text repeats an argument, or a word of the tool's or a parameter's name."""
        lowered = text.lower()
        return any(word in lowered for word in self._words) or self.masked(text) != _one_line(text)

    def masked(self, text: str) -> str:
        """A text without the arguments it repeats: equal for all calls that fail for one reason."""
        for value in self._values:
            if len(value) > 1:  # a digit or a letter stands in any text
                text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", text, flags=re.IGNORECASE)
        return _one_line(text)

    def echoes(self, value: object) -> bool:
        """Whether a value of a result is little more than an argument."""
        text = str(value)
        return text in self._values or len(self.masked(text)) < min(len(text), MAX_AROUND_ECHO)

    @cached_property
    def tests(self) -> bool:
        """Whether the tool is one that finds out what is wrong: it may say so."""
        return not _TESTING.isdisjoint(self._words)

    @cached_property
    def _values(self) -> list[str]:
        """The arguments as texts, the longest first."""
        return sorted({str(value) for value in scalars(self.arguments)} - {""}, key=_length)

    @cached_property
    def _words(self) -> set[str]:
        """Words a complaint would use: `file` and `filename` of a parameter `source_fileName`."""
        names = " ".join([self.tool, *self.arguments])
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", names)}
        stems = {re.sub(r"(?:name|path|id|index)$", "", word) for word in words}
        return {word for word in words | stems if len(word) > 3}


def says_failure(text: str, call: CalledTool) -> bool:
    """Whether a result says that its call failed."""
    return _fails(_parsed(text), call)


def is_negative(text: str) -> bool:
    """Whether a result has words of failure: too little to judge one result by. Keys of JSON do not
    count.
    """
    texts = [item for item in scalars(_parsed(text)) if isinstance(item, str)]
    return words.has_negative_word(". ".join(texts))


def is_empty_answer(text: str) -> bool:
    """Whether a result says that there is nothing: `No open issues`, `[]`."""
    value = _parsed(text)
    if isinstance(value, str):
        return not value.strip() or words.found_nothing(value)
    return not any(item not in _NO_VALUES for item in scalars(value))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:  # most servers answer in plain text
        return text


def _fails(value: object, call: CalledTool) -> bool:
    match value:
        case str():
            return _text_fails(value.strip(), call)
        case [dict() | str(), *_]:
            return all(_fails(item, call) for item in value) and (
                len(value) == 1 or all(call.is_mentioned_in(str(item)) for item in value)
            )
        case dict() if len(value) == 1 and _key(next(iter(value))) in {"result", "content", "text"}:
            return _fails(next(iter(value.values())), call)
        case dict():
            return _object_fails({_key(name): item for name, item in value.items()}, call)
        case _:
            return False


def _text_fails(text: str, call: CalledTool) -> bool:
    if words.is_log(text):
        return False
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    # A line for each of the things that were asked for, and none is there.
    if 1 < len(lines) <= MAX_PARTS and all(_lacks_argument(line, call) for line in lines):
        return True
    if words.begins_as_error(text):
        return True
    if call.tests:  # `b@c is not a valid address` is what it was asked for
        return False
    return (
        words.begins_as_failure(text)
        or _lacks_argument(text, call)
        or any(word in call.arguments for word in words.demanded(text))
    )


def _lacks_argument(text: str, call: CalledTool) -> bool:
    return words.says_it_lacks(text) and call.is_mentioned_in(text)


def _object_fails(fields: Mapping[str, object], call: CalledTool) -> bool:
    if fields.get("iserror") is True:  # the flag of MCP, sent as text
        return True
    complaints = [fields[name] for name in _COMPLAINTS if _is_given(fields.get(name))]
    # What else it says is help: `{"error": "Template 'x' not found", "available": [...]}`.
    if any(isinstance(text, str) and _lacks_argument(text, call) for text in complaints):
        return True
    complains = bool(complaints)
    if any(fields.get(name) is False for name in _FALSE_FLAGS) or any(
        fields.get(name) is True for name in _TRUE_FLAGS
    ):
        texts = [text for name in _MESSAGES if isinstance(text := fields.get(name), str)]
        return complains or any(map(words.has_negative_word, texts)) or not _answers(fields, call)
    status = any(str(fields.get(name)).lower() in _FAILED_STATUS for name in _STATUS)
    # GraphQL: errors instead of data. Elsewhere `errors` may be what a checker was asked for.
    no_data = bool(fields.get("errors")) and "data" in fields and not fields["data"]
    return (status or complains or no_data) and not _answers(fields, call)


def _answers(fields: Mapping[str, object], call: CalledTool) -> bool:
    """Whether an object tells more than a failure: of a job that failed, that is the answer."""
    return any(
        item not in _NO_VALUES and not call.echoes(item)
        for name, value in fields.items()
        if name not in _ABOUT_FAILURE
        for item in scalars(value)
    )


def _is_given(complaint: object) -> bool:
    if isinstance(complaint, str):
        return complaint.strip().lower() not in _NO_COMPLAINTS
    return isinstance(complaint, dict | list) and bool(complaint)


def _key(name: object) -> str:
    return str(name).replace("_", "").replace("-", "").lower()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _length(value: str) -> tuple[int, str]:
    return -len(value), value
