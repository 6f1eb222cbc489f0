"""Tools and wordings of the synthesis tests."""

from pathlib import Path

from agent_assets.conversations.messages import ToolSchema

DEFS = Path(__file__).resolve().parents[2] / "agent_assets" / "defs"
ENERGY_WORDINGS = DEFS / "energy_expert" / "wordings.yaml"
ELDER_WORDINGS = DEFS / "elder_companion" / "wordings.yaml"

DAY = {"type": "string", "format": "date"}
PRICE = ToolSchema(
    "get_price",
    "Daily price of a place.",
    {
        "type": "object",
        "properties": {
            "place": {"type": "string", "enum": [f"P{number}" for number in range(9)]},
            "start_date": DAY,
            "end_date": DAY,
        },
        "required": ["place", "start_date", "end_date"],
    },
)
TODAY = ToolSchema("get_today", "Today's date.", {"type": "object", "properties": {}})
SWITCH = ToolSchema(
    "switch",
    "Turn the lamp on or off.",
    {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
)
SEARCH = ToolSchema(
    "search_memories",
    "Search.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
ID_TOOL = ToolSchema(
    "get_memory",
    "One memory.",
    {"type": "object", "properties": {"memory_id": {"type": "string"}}, "required": ["memory_id"]},
)
