"""The vocabulary of a conversation: messages, tool calls, tool schemas. All other formats convert to these."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]

JsonObject = dict[str, Any]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, Unicode kept: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


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
    """What a tool answered. An error result is still an observation: a model reads it and may try again."""

    text: str
    is_error: bool = False


@dataclass(frozen=True)
class Message:
    """One message in order. An assistant message may carry text, tool calls, or text followed by calls."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None  # set on role "tool" only


@dataclass(frozen=True)
class Conversation:
    """Messages in order, and the tools that were offered while they were exchanged."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = field(default=())
