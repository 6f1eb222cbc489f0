"""How hard a question is, 1 to 5.

One point each, above 1: its calls have arguments; more than two of them; a list or an optional
argument is given; a right reply says "never told" or cites.
"""

from collections.abc import Iterable, Mapping

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.tools import required_arguments


def call_difficulty(
    calls: Iterable[JsonObject], schemas: Mapping[str, ToolSchema], *, asks_more: bool
) -> int:
    """Difficulty of a question that these calls (`{name, arguments}`) answer; `asks_more`: to cite,
    or to abstain.
    """
    arguments = [
        (call["name"], name, value) for call in calls for name, value in call["arguments"].items()
    ]
    special = any(
        isinstance(value, list) or name not in required_arguments(schemas[tool])
        for tool, name, value in arguments
        if tool in schemas
    )
    return 1 + bool(arguments) + (len(arguments) > 2) + special + asks_more
