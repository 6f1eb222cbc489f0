"""The tools of a pipeline, as its stages read them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_assets.conversations.messages import ToolSchema


def read_artifact_tools(folder: Path) -> "list[ToolSchema]":
    """The tools of an mcp_tool_schema artifact."""
    from agent_assets.conversations.tools import read_snapshot

    return read_snapshot((folder / "tool_schema.json").read_text(encoding="utf-8"))
