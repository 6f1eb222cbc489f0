"""Items and rollouts of the evaluation tests."""

import json
from collections.abc import Sequence

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import JsonObject, Message, ToolCall, ToolSchema
from agent_assets.evaluation.metrics import ItemResult

LNG = ToolSchema(
    "get_lng_price",
    "LNG price",
    {
        "type": "object",
        "properties": {
            "region": {"type": "string"},
            "start_date": {"type": "string"},
            "end_date": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["region", "start_date"],
    },
)
FACTORIES = ToolSchema(
    "get_factory_prices",
    "Factory prices",
    {
        "type": "object",
        "properties": {
            "factory_names": {"type": "array", "items": {"type": "string"}},
            "days": {"type": "integer"},
        },
        "required": ["factory_names", "days"],
    },
)
TODAY = ToolSchema("get_current_date", "Today", {"type": "object", "properties": {}})
TOOLS = (LNG, FACTORIES, TODAY)


def item(item_id: str = "i1", **changes: object) -> EvalItem:
    fields: dict[str, object] = {
        "id": item_id,
        "kind": "tool",
        "wording": "seen",
        "language": "en",
        "question": "What is the date?",
        "system": "Use tools.",
        "gold_calls": [{"name": "get_current_date", "arguments": {}}],
        "gold_answer": "",
        "gold_values": [],
        "memory_ids": [],
        "tool": None,
    }
    return EvalItem(**(fields | changes))  # type: ignore[arg-type]


def rollout(
    of: EvalItem,
    calls: Sequence[JsonObject] = (),
    answer: str = "",
    *,
    tool_result: object = "ok",
    **fields: object,
) -> ItemResult:
    """A finished rollout: each call in its own turn, then the answer."""
    messages = [Message("system", of.system), Message("user", of.question)]
    for number, call in enumerate(calls):
        tool_call = ToolCall(call["name"], call["arguments"], f"c{number}")
        messages.append(Message("assistant", "", (tool_call,)))
        messages.append(
            Message("tool", json.dumps(tool_result, ensure_ascii=False), (), tool_call.id)
        )
    if answer:
        messages.append(Message("assistant", answer))
    return ItemResult(of, tuple(messages), "answered", 1.0, **fields)  # type: ignore[arg-type]


def call(name: str, **arguments: object) -> JsonObject:
    return {"name": name, "arguments": arguments}
