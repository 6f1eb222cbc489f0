"""What every server of a configuration offers, also where one of them cannot be used: for people
who connect one.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent_assets.agent.mcp.catalog import ListedTool, catalog
from agent_assets.agent.mcp.choice import EVERY_TOOL, ToolChoice
from agent_assets.agent.mcp.config import McpConfig
from agent_assets.agent.mcp.connect import ConnectedServer, connect_server
from agent_assets.agent.mcp.permissions import ANY_CALL, ToolPermissions
from agent_assets.agent.mcp.toolbox import Toolbox
from agent_assets.errors import ToolServerError


@dataclass(frozen=True)
class SurveyedServer:
    """One server; `reason` says why none of its tools can be used, and is None where some can."""

    name: str
    reason: str | None


@dataclass(frozen=True)
class Survey:
    """All tools of all servers, those that cannot be used with their reason; and the servers."""

    tools: list[ListedTool]
    servers: list[SurveyedServer]


@asynccontextmanager
async def open_whatever_works(
    config: McpConfig,
    *,
    timeout_s: float = 30,
    log_dir: Path | None = None,
    choice: ToolChoice = EVERY_TOOL,
    permissions: ToolPermissions = ANY_CALL,
) -> AsyncIterator[tuple[Survey, Toolbox]]:
    """Start or connect to every server, one after the other; one that fails costs itself.

    Raises:
        ConfigError: the choice names a tool that no server has.
    """
    servers: list[ConnectedServer] = []
    failures: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name, server in config.servers.items():
            try:
                servers.append(
                    await connect_server(
                        stack, name, server, config.secrets, timeout_s=timeout_s, log_dir=log_dir
                    )
                )
            except ToolServerError as error:
                failures[name] = error.message
        offered = [tool for server in servers for tool in server.listed]
        tools = _without_clashes(catalog(offered, choice, permissions))
        surveyed = [
            SurveyedServer(name, failures.get(name) or _reason(name, tools))
            for name in config.servers
        ]
        yield Survey(tools, surveyed), Toolbox(servers, tools, timeout_s, permissions)


async def survey(
    config: McpConfig,
    *,
    timeout_s: float = 30,
    log_dir: Path | None = None,
    choice: ToolChoice = EVERY_TOOL,
    permissions: ToolPermissions = ANY_CALL,
) -> Survey:
    """Ask every server for its tools. One that fails costs itself.

    Raises:
        ConfigError: the choice names a tool that no server has.
    """
    async with open_whatever_works(
        config, timeout_s=timeout_s, log_dir=log_dir, choice=choice, permissions=permissions
    ) as (surveyed, _):
        return surveyed


def _without_clashes(tools: Sequence[ListedTool]) -> list[ListedTool]:
    """The tools, of those with one name all but the first left out."""
    first: dict[str, ListedTool] = {}
    return [
        replace(tool, problem=f"the server '{first[tool.alias].server}' has a tool of that name")
        if tool.usable and first.setdefault(tool.alias, tool) is not tool
        else tool
        for tool in tools
    ]


def _reason(server: str, tools: Sequence[ListedTool]) -> str | None:
    own = [tool for tool in tools if tool.server == server]
    if any(tool.usable for tool in own):
        return None
    return "none of its tools can be used" if own else "it lists no tools"
