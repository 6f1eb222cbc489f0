"""What training rows cover: calls by tool and parameter, languages, kinds, wordings, and what was rejected why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agent_assets.conversations.messages import JsonObject, ToolCall, ToolSchema, canonical_json
from agent_assets.synthesis.rows.example import Exchange


def coverage(
    kept: Sequence[Exchange],
    heldout: Sequence[Exchange],
    rejected: Sequence[Exchange],
    tools: Sequence[ToolSchema],
    *,
    uncovered: Mapping[str, str],
) -> JsonObject:
    """Counts over the exchanges; free-text arguments are counted, never quoted."""
    calls = [call for exchange in kept for call in exchange.calls]
    return {
        "exchanges": len(kept),
        "heldout": len(heldout),
        "rejected": len(rejected),
        "rejected_by_reason": count(reason.reason for exchange in rejected for reason in exchange.rejections),
        "calls_by_tool": {tool.name: sum(call.name == tool.name for call in calls) for tool in tools},
        "parameters": {
            tool.name: _parameters(tool, [call.arguments for call in calls if call.name == tool.name])
            for tool in tools
            if tool.parameters.get("properties")
        },
        "by_kind": count(exchange.task.kind for exchange in kept),
        "by_language": count(exchange.task.question.language for exchange in kept),
        "by_wording": count(exchange.task.question.wording for exchange in kept),
        "heldout_by_kind": count(exchange.task.kind for exchange in heldout),
        "heldout_by_wording": count(
            "seen" if exchange.task.question.wording_seen else "unseen" for exchange in heldout
        ),
        "uncovered": dict(sorted({**_without_calls(tools, calls, rejected), **uncovered}.items())),
    }


def _without_calls(
    tools: Sequence[ToolSchema], calls: Sequence[ToolCall], rejected: Sequence[Exchange]
) -> dict[str, str]:
    """Why tools are in no row."""
    found = {}
    for tool in tools:
        if not any(call.name == tool.name for call in calls):
            reasons = count(
                reason.reason
                for exchange in rejected
                if tool.name in exchange.task.question.tools
                for reason in exchange.rejections
            )
            said = ", ".join(f"{reason} {number}" for reason, number in reasons.items())
            found[tool.name] = f"every question was rejected: {said}" if said else "no question asks for it"
    return found


def count(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, sorted by value."""
    return dict(sorted(Counter(map(str, values)).items()))


def _parameters(tool: ToolSchema, arguments: Sequence[JsonObject]) -> JsonObject:
    found: JsonObject = {}
    for name, schema in tool.parameters["properties"].items():
        values = [call[name] for call in arguments if name in call]
        flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
        found[name] = {"given": len(values), "left_out": len(arguments) - len(values)}
        found[name]["different_values"] = len({canonical_json(value) for value in flat})
        allowed = schema.get("enum") or (schema.get("items") or {}).get("enum")
        if allowed:
            found[name]["values"] = {str(value): sum(item == value for item in flat) for value in allowed}
    return found
