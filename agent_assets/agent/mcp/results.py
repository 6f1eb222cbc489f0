"""What a tool answered, as a model reads it. A result that is not what MCP, JSON or the tool itself
promise is an error of that call, with the reason.
"""

import math
import re
from dataclasses import dataclass, replace

from mcp_types import (
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import ValidationError

from agent_assets.agent.mcp.entries.variables import Secrets
from agent_assets.conversations.messages import JsonObject, ToolResult, canonical_json

MAX_RESULT_BYTES = 1_000_000
_DEEPEST = 100
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ToolAnswer:
    """A result as a model reads it, and the structured content that came with it, if any."""

    result: ToolResult
    structured: JsonObject | None = None


def read_answer(result: CallToolResult) -> ToolAnswer:
    """Text of a result; its structured content where it has no text; the kind of what cannot be
    shown as text.
    """
    structured = result.structured_content
    if (odd := not_json(structured)) is not None:
        return failed(f"the result's structuredContent holds {odd}")
    texts = [_text_of(block) for block in result.content]
    if not texts and structured is not None:
        texts = [canonical_json(structured)]
    text = "\n".join(texts)
    size = len(text.encode())
    if size > MAX_RESULT_BYTES:
        return failed(f"the result has {size} bytes; at most {MAX_RESULT_BYTES} are allowed")
    return ToolAnswer(ToolResult(text, is_error=bool(result.is_error)), structured)


def not_as_mcp_says(error: ValidationError) -> ToolAnswer:
    """A result whose fields are not those of the protocol."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"] if part != "CallToolResult")
    return failed(f"the result is not as MCP defines it: {where or 'result'}: {problem['msg']}")


def failed(reason: str) -> ToolAnswer:
    """An error that a model can read."""
    return ToolAnswer(ToolResult(reason, is_error=True))


def with_keys_hidden(answer: ToolAnswer, secrets: Secrets) -> ToolAnswer:
    """The answer, should its server repeat a key that it was given: answers become rows."""
    if not secrets.names:
        return answer
    result, structured = answer.result, answer.structured
    return ToolAnswer(
        replace(result, text=secrets.hidden_in_answer(result.text)),
        None
        if structured is None
        else {key: secrets.hidden_in_answer(value) for key, value in structured.items()},
    )


def not_json(value: object, path: str = "$", depth: int = 0) -> str | None:
    """What a value holds that JSON does not have, or not everywhere, and where; None for the
    others.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"NaN or an infinite number ({path})"
    if isinstance(value, str) and _HALF_SURROGATE.search(value):
        return f"half a surrogate pair ({path})"
    if depth > _DEEPEST:
        return f"more than {_DEEPEST} levels"
    items: list[tuple[str, object]] = []
    if isinstance(value, dict):
        items = [(path, key) for key in value]
        items += [(f"{path}.{key}", item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return next(filter(None, (not_json(item, where, depth + 1) for where, item in items)), None)


def _text_of(block: ContentBlock) -> str:
    """A block's text, also that of a resource sent along; for the others what they are, never their
    bytes.
    """
    match block:
        case TextContent():
            return block.text
        case EmbeddedResource(resource=TextResourceContents(text=text)):
            return text
        case EmbeddedResource(resource=resource):
            return f"[{block.type} {resource.uri}]"
        case ResourceLink():
            return f"[{block.type} {block.uri}]"
        case _:
            return f"[{block.type}]"
