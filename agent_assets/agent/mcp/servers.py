"""The MCP servers of one pipeline: opened to make rows, to evaluate and to answer alike."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.agent.mcp.choice import EVERY_TOOL, ToolChoice
from agent_assets.agent.mcp.meaning import meaning_hash
from agent_assets.agent.mcp.permissions import ANY_CALL, ToolPermissions

if TYPE_CHECKING:
    from agent_assets.agent.mcp.config import McpConfig
    from agent_assets.agent.mcp.survey import Survey
    from agent_assets.agent.mcp.toolbox import Toolbox

NO_MEMORIES = "-"


@dataclass(frozen=True)
class ToolServers:
    """What a pipeline says of its servers.

    Args:
        config_file: its mcp_config.json.
        folder: of the pipeline, handed to the servers as `${pipeline}`.
        timeout_s: for one call.
        choice: which of their tools are taken.
        permissions: which of their tools may be called while data is made, and models are evaluated
            and trained.
        serving: which may be called while agents answer people.
    """

    config_file: Path
    folder: Path
    timeout_s: float
    choice: ToolChoice = EVERY_TOOL
    permissions: ToolPermissions = ANY_CALL
    serving: ToolPermissions = ANY_CALL

    @property
    def version(self) -> str:
        """Hash of what mcp_config.json means: another server, or other arguments of one, may
        answer differently.
        """
        return meaning_hash(self.config_file.read_bytes())

    @asynccontextmanager
    async def open(
        self, *, memories: Path | None, log_dir: Path, serving: bool = False
    ) -> "AsyncIterator[Toolbox]":
        """Start them or connect to them.

        Args:
            memories: folder of one elder's memories, handed over as `${memories}`; None hands over
                "-": what a server offers must not depend on whom it serves.
            log_dir: where servers started here write their standard error.
            serving: an agent answers people with them.
        """
        # Not above: loading the code location must not load fastmcp.
        from agent_assets.agent.mcp.toolbox import open_toolbox

        async with open_toolbox(
            self._config(memories),
            timeout_s=self.timeout_s,
            log_dir=log_dir,
            choice=self.choice,
            permissions=self.serving if serving else self.permissions,
        ) as toolbox:
            yield toolbox

    async def survey(self) -> "Survey":
        """What all of them offer, also where one cannot be used."""
        from agent_assets.agent.mcp.survey import survey

        return await survey(
            self._config(None),
            timeout_s=self.timeout_s,
            choice=self.choice,
            permissions=self.permissions,
        )

    def _config(self, memories: Path | None) -> "McpConfig":
        from agent_assets.agent.mcp.toolbox import load_mcp_config

        variables = {
            "python": sys.executable,
            "memories": NO_MEMORIES if memories is None else str(memories),
            "pipeline": str(self.folder),
        }
        return load_mcp_config(self.config_file, variables)
