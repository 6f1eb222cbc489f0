"""The MCP servers of a pipeline, as its stages open them."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.pipeline.stage import PipelineSpec

if TYPE_CHECKING:
    from agent_assets.agent.mcp.toolbox import Toolbox
    from agent_assets.conversations.messages import ToolSchema

NO_MEMORIES = "-"


@asynccontextmanager
async def open_tools(
    pipeline: PipelineSpec, *, memories: Path | None, log_dir: Path
) -> "AsyncIterator[Toolbox]":
    """Start or connect to the servers of a pipeline's mcp_config.json.

    Args:
        memories: folder of one elder's memories, handed to the servers as `${memories}`; None hands
            over "-": what a server offers must not depend on whom it serves.
        log_dir: where servers started here write their standard error.
    """
    from agent_assets.agent.mcp.toolbox import load_mcp_config, open_toolbox

    variables = {
        "python": sys.executable,
        "memories": NO_MEMORIES if memories is None else str(memories),
        "pipeline": str(pipeline.folder),
    }
    config = load_mcp_config(pipeline.file(pipeline.config.tools.mcp_config), variables)
    async with open_toolbox(
        config, timeout_s=pipeline.config.tools.timeout_s, log_dir=log_dir
    ) as toolbox:
        yield toolbox


def servers_version(pipeline: PipelineSpec) -> str:
    """Hash of mcp_config.json: another server, or other arguments of one, may answer
    differently.
    """
    return sha256(pipeline.file(pipeline.config.tools.mcp_config).read_bytes()).hexdigest()[:32]


def read_tools(folder: Path) -> "list[ToolSchema]":
    """The tools of an mcp_tool_schema artifact."""
    from agent_assets.conversations.tools import read_snapshot

    return read_snapshot((folder / "tool_schema.json").read_text(encoding="utf-8"))
