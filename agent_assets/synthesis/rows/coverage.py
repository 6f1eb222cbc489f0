"""What training rows cover: calls by tool and parameter, languages, kinds, wordings, and what was
rejected why.
"""

from collections.abc import Mapping, Sequence

from agent_assets.conversations.messages import JsonObject, ToolCall, ToolSchema, canonical_json
from agent_assets.conversations.tools import argument_schemas
from agent_assets.synthesis.counts import count
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.failing_tools import NeedsValues


def coverage(
    accepted: Sequence[Example],
    heldout: Sequence[Example],
    rejected: Sequence[Example],
    tools: Sequence[ToolSchema],
    *,
    uncovered: Mapping[str, str],
    needs: Mapping[str, NeedsValues],
) -> JsonObject:
    """Counts over the examples; free-text arguments are counted, never quoted.

    Args:
        uncovered: why tools are in no row, where that is known.
        needs: tools of which most calls failed.
    """
    calls = [call for example in accepted for call in example.calls]
    return {
        "exchanges": len(accepted),
        "heldout": len(heldout),
        "rejected": len(rejected),
        "rejected_by_reason": count(
            reason.reason for example in rejected for reason in example.rejections
        ),
        "calls_by_tool": {
            tool.name: sum(call.name == tool.name for call in calls) for tool in tools
        },
        "parameters": {
            tool.name: _parameters(
                tool, [call.arguments for call in calls if call.name == tool.name]
            )
            for tool in tools
            if argument_schemas(tool)
        },
        "by_kind": count(example.task.kind for example in accepted),
        "by_language": count(example.task.question.language for example in accepted),
        "by_wording": count(example.task.question.wording for example in accepted),
        "heldout_by_kind": count(example.task.kind for example in heldout),
        "heldout_by_wording": count(
            "seen" if example.task.question.wording_seen else "unseen" for example in heldout
        ),
        "uncovered": dict(
            sorted({**_without_calls(tools, calls, rejected, needs), **uncovered}.items())
        ),
        # Where all is well there is no such key: the bytes, and what is trained on them, stay.
        **(
            {"needs_values": {name: need.as_json() for name, need in sorted(needs.items())}}
            if needs
            else {}
        ),
    }


def _without_calls(
    tools: Sequence[ToolSchema],
    calls: Sequence[ToolCall],
    rejected: Sequence[Example],
    needs: Mapping[str, NeedsValues],
) -> dict[str, str]:
    """Why tools are in no row."""
    reasons_by_tool = {}
    for tool in tools:
        if not any(call.name == tool.name for call in calls):
            reasons = count(
                reason.reason
                for example in rejected
                if tool.name in example.task.question.tools
                for reason in example.rejections
            )
            counts = ", ".join(f"{reason} {number}" for reason, number in reasons.items())
            if tool.name in needs:
                reasons_by_tool[tool.name] = needs[tool.name].reason()
            elif counts:
                reasons_by_tool[tool.name] = f"every question was rejected: {counts}"
            else:
                reasons_by_tool[tool.name] = "no question asks for it"
    return reasons_by_tool


def _parameters(tool: ToolSchema, arguments: Sequence[JsonObject]) -> JsonObject:
    described: JsonObject = {}
    for name, schema in argument_schemas(tool).items():
        values = [call[name] for call in arguments if name in call]
        flat = [
            item for value in values for item in (value if isinstance(value, list) else [value])
        ]
        described[name] = {"given": len(values), "left_out": len(arguments) - len(values)}
        described[name]["different_values"] = len({canonical_json(value) for value in flat})
        allowed = _listed_values(schema) or _listed_values(
            schema.get("items") if isinstance(schema, dict) else None
        )
        if allowed:
            described[name]["values"] = {
                str(value): sum(item == value for item in flat) for value in allowed
            }
    return described


def _listed_values(schema: object) -> list[object]:
    return schema.get("enum", []) if isinstance(schema, dict) else []
