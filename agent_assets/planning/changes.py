"""In words: what differs between two states of an elder's memories, or of the tools. Counts and
names, no content.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import ToolSchema
from agent_assets.conversations.tools import argument_schemas, required_arguments

_MOST = 5  # changes named one by one


def memory_changes(
    old: Iterable[Memory],
    new: Iterable[Memory],
    *,
    old_profile: ElderProfile,
    new_profile: ElderProfile,
) -> str:
    """For example "3 memories added, 1 edited". When an answer was changed does not count."""
    before, after = _contents(old), _contents(new)
    edited = sum(before[name] != after[name] for name in before.keys() & after.keys())
    counts = {
        "added": len(after.keys() - before.keys()),
        "edited": edited,
        "removed": len(before.keys() - after.keys()),
    }
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    if parts:
        number, _, rest = parts[0].partition(" ")
        parts[0] = f"{number} {'memory' if number == '1' else 'memories'} {rest}"
    if old_profile != new_profile:
        parts.append("profile changed")
    return ", ".join(parts) or "memories changed"


def tool_changes(old: Sequence[ToolSchema], new: Sequence[ToolSchema]) -> str:
    """For example "tool `get_price` gained parameter `unit`"; at most five changes, then how many
    more.
    """
    before, after = {tool.name: tool for tool in old}, {tool.name: tool for tool in new}
    changes = [f"tool `{name}` added" for name in sorted(after.keys() - before.keys())]
    changes += [f"tool `{name}` removed" for name in sorted(before.keys() - after.keys())]
    for name in sorted(before.keys() & after.keys()):
        changes += _one_tool(before[name], after[name])
    if len(changes) > _MOST:
        changes = [*changes[:_MOST], f"{len(changes) - _MOST} more changes"]
    return "; ".join(changes) or "tools changed"


def _one_tool(old: ToolSchema, new: ToolSchema) -> list[str]:
    before, after = _parameters(old), _parameters(new)
    changes = [f"gained parameter `{name}`" for name in sorted(after.keys() - before.keys())]
    changes += [f"lost parameter `{name}`" for name in sorted(before.keys() - after.keys())]
    changes += [
        f"changed parameter `{n}`"
        for n in sorted(before.keys() & after.keys())
        if before[n] != after[n]
    ]
    if old.description != new.description:
        changes.append("changed its description")
    if not changes and json.dumps(old.parameters, sort_keys=True) != json.dumps(
        new.parameters, sort_keys=True
    ):
        changes.append("changed its schema")
    return [f"tool `{old.name}` {change}" for change in changes]


def _parameters(tool: ToolSchema) -> dict[str, object]:
    """Schema by parameter, with whether it is required."""
    required = required_arguments(tool)
    return {name: (schema, name in required) for name, schema in argument_schemas(tool).items()}


def _contents(memories: Iterable[Memory]) -> dict[str, dict[str, object]]:
    return {
        m.memory_id: {key: value for key, value in asdict(m).items() if key != "updated_at"}
        for m in memories
    }
