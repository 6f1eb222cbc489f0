"""The vocabulary of a conversation: messages, tool calls, tool schemas. All other formats convert
to these.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]

JsonObject = dict[str, Any]


# Made once: json.dumps would make one for every memory of every elder.
_CANONICAL = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
)


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces, Unicode kept: equal values give equal bytes."""
    return _CANONICAL.encode(value)


def canonical_text_json(value: object) -> bytes:
    """What `canonical_json` gives, in UTF-8, faster: of objects and lists that hold text only."""
    import orjson  # engine environments have this module, and not that library

    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def write_json_lines(path: Path, values: Iterable[object]) -> None:
    """Write values as canonical JSON, one a line."""
    path.write_text("".join(canonical_json(value) + "\n" for value in values), encoding="utf-8")


def read_json_lines(path: Path) -> list[Any]:
    """The values of a JSONL file. Only a newline ends a line: what people tell may hold U+2028 and
    its like, at which `str.splitlines` splits, too.
    """
    with path.open(encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines if line.strip()]


@dataclass(frozen=True)
class ToolSchema:
    """One tool as a model sees it. `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool. `arguments` is the decoded JSON object; `id` pairs it with its result."""

    name: str
    arguments: JsonObject
    id: str


@dataclass(frozen=True)
class ToolResult:
    """What a tool answered. An error result is still an observation: a model reads it and may try
    again.
    """

    text: str
    is_error: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens as a model server counted them: read (`prompt_tokens`) and written
    (`completion_tokens`).
    """

    prompt_tokens: int
    completion_tokens: int

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True)
class Message:
    """One message in order. An assistant message may carry text, tool calls, or text followed by
    calls.

    `usage` is what a server counted for this answer: a fact about the request, no part of the
    conversation.
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None  # set on role "tool" only
    usage: Usage | None = field(default=None, compare=False)


def message_fields(message: Message) -> JsonObject:
    """A message as an object without what is empty: `Message(**fields)` makes it again, but for its
    calls, which are objects, too.
    """
    return {name: value for name, value in asdict(message).items() if value}


def said_and_called(message: Message) -> JsonObject:
    """A message as people read it in a file: role, content, and calls without their ids."""
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    return {"role": message.role, "content": message.content} | (
        {"tool_calls": calls} if calls else {}
    )


@dataclass(frozen=True)
class Conversation:
    """Messages in order, and the tools that were offered while they were exchanged."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = field(default=())
