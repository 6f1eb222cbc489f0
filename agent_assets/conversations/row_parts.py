"""The parts that row formats share: calls, tools and JSON, read with errors that never quote what
was said.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from agent_assets.conversations.messages import JsonObject, Message, ToolCall, ToolSchema
from agent_assets.errors import TrainingDataError

# What an entry of a flat row is.
Kind = Literal["system", "user", "assistant", "call", "result"]


def read_calls(text: str, number: int, *, first_id: int) -> tuple[ToolCall, ...]:
    """The call in one entry; some ShareGPT writers put a list of parallel calls there."""
    value = parse_json(text, f"message {number}")
    calls = []
    for offset, call in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise bad_row(number, "a call without a name")
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            arguments = parse_json(arguments, f"the arguments of message {number}")
        if not isinstance(arguments, dict):
            raise bad_row(number, "a call whose arguments are not a JSON object")
        calls.append(ToolCall(call["name"], arguments, f"call_{first_id + offset}"))
    return tuple(calls)


def read_tools(value: object) -> tuple[ToolSchema, ...]:
    """Tools as a list or as JSON text of one; each `{name, description, parameters}`, in `{type,
    function}` or not.
    """
    if isinstance(value, str):
        value = parse_json(value, "tools")
    if not isinstance(value, list):
        raise bad_row(None, "tools is not a list")
    tools = []
    for entry in value:
        tool = entry.get("function", entry) if isinstance(entry, dict) else {}
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise bad_row(None, "a tool without a name")
        tools.append(
            ToolSchema(tool["name"], tool.get("description") or "", tool.get("parameters") or {})
        )
    return tuple(tools)


def tool_entry(tool: ToolSchema) -> JsonObject:
    """A tool as rows hold it."""
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def openai_message(message: Message, *, finite: bool = True) -> JsonObject:
    """A message as OpenAI chat rows and requests hold it. Content is null where it only calls.

    Args:
        finite: NaN and infinity, which JSON has not, are an error. A model that wrote one is asked
            on nevertheless.

    Raises:
        TrainingDataError: the arguments of a call hold such a number.
    """
    entry: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        entry["content"] = message.content or None
        functions = [
            {"name": call.name, "arguments": json_text(call.arguments, finite=finite)}
            for call in message.tool_calls
        ]
        entry["tool_calls"] = [
            {"id": call.id, "type": "function", "function": function}
            for call, function in zip(message.tool_calls, functions, strict=True)
        ]
    if message.role == "tool":
        entry["tool_call_id"] = message.tool_call_id
    return entry


def openai_tools(tools: Sequence[ToolSchema]) -> list[JsonObject]:
    """Tools as OpenAI chat rows, swift rows and servers hold them."""
    return [{"type": "function", "function": tool_entry(tool)} for tool in tools]


def entries(row: JsonObject, key: str) -> list[JsonObject]:
    """The list of objects under `key`."""
    value = row.get(key)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise bad_row(None, f"{key} is not a list of objects")
    return value


def json_text(value: object, *, finite: bool = True) -> str:
    """JSON as a model writes it: spaces after separators, Unicode kept, keys in the order they
    have.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=not finite)
    except ValueError:
        raise bad_row(None, "a number that JSON has not (NaN or infinity)") from None


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text; `where` names it in the error."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise bad_row(None, f"{where} is not JSON (column {error.colno})") from None


def bad_row(number: int | None, what: str) -> TrainingDataError:
    """An error that names the place and the problem, and never quotes what was said."""
    where = "" if number is None else f" Message {number}:"
    return TrainingDataError(
        f"A conversation cannot be converted.{where} {what}.",
        next_step="correct the row, or leave it out.",
    )
