"""A message of a model in the one form that OpenAI documents, whichever form its server has.

Servers give content as text or in parts, reasoning between tags, in fields or in parts, arguments
of a call as JSON text or as an object, and calls without ids. What no rule here reads is left as it
is.
"""

import json
from typing import Any

from agent_assets.conversations.messages import JsonObject

_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
_REASONING_PARTS = {"thinking", "reasoning", "reasoning_text"}
_TEXT_PARTS = {"text", "output_text"}


def plain_message(message: JsonObject) -> JsonObject:
    """The message with its content as text, what a server took out of that as `reasoning_content`,
    and calls whose arguments are text.
    """
    content, thought = message.get("content"), _reasoning(message)
    if isinstance(content, list):
        thought = thought or "".join(_texts(content, _REASONING_PARTS))
        content = "".join(_texts(content, _TEXT_PARTS))
    plain = {name: value for name, value in message.items() if name not in _REASONING_FIELDS}
    calls = message.get("tool_calls")
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    if isinstance(calls, list):
        calls = [_plain_call(call, number) for number, call in enumerate(calls, start=1)]
    return plain | {
        "content": content,
        "reasoning_content": _writable(thought),
        "tool_calls": calls or None,
        "function_call": None,
    }


def _reasoning(message: JsonObject) -> str:
    texts = (message.get(name) for name in _REASONING_FIELDS)
    return next((text for text in texts if isinstance(text, str) and text), "")


def _texts(parts: list[Any], kinds: set[str]) -> list[str]:
    """The texts of the parts of some kinds. A part of reasoning may hold parts itself."""
    texts = []
    for part in parts:
        if isinstance(part, str) and "text" in kinds:
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in kinds:
            inner = part.get("text") or part.get(str(part["type"])) or ""
            texts += _texts(inner, _TEXT_PARTS) if isinstance(inner, list) else [str(inner)]
    return texts


def _plain_call(call: Any, number: int) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    if arguments is None:
        arguments = "{}"
    elif not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": call.get("id") or f"call_{number}",
        "type": call.get("type") or "function",
        "function": {"name": function.get("name"), "arguments": arguments},
    }


def _writable(text: str) -> str:
    """Half a surrogate pair in what was thought is no reason to refuse what was said."""
    return text.encode(errors="replace").decode()
