"""Opens the MCP servers of a pipeline and calls their tools, over stdio, SSE or streamable HTTP.

Each server has a client of its own: two servers with one tool name are an error here, where a
merged client would silently prefix or drop one. Errors name the server and never quote what a tool
answered.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from fastmcp import Client
from fastmcp.client.transports import ClientTransport
from mcp import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    BlobResourceContents,
    TextResourceContents,
)
from pydantic import ValidationError

from agent_assets.agent.mcp.catalog import ListedTool, catalog, used_twice
from agent_assets.agent.mcp.choice import EVERY_TOOL, ToolChoice
from agent_assets.agent.mcp.config import ApiServer, McpConfig, ServerConfig, parse_mcp_config
from agent_assets.agent.mcp.connect import SERVER_FAILURES, ConnectedServer, connect_server
from agent_assets.agent.mcp.errors import late, name_clash, nothing_left, stopped, too_many_tools
from agent_assets.agent.mcp.permissions import (
    ANY_CALL,
    SILENT,
    ToolPermissions,
    line_to_allow,
    says_it_writes,
)
from agent_assets.agent.mcp.results import (
    ToolAnswer,
    failed,
    not_as_mcp_says,
    not_json,
    read_answer,
    with_keys_hidden,
)
from agent_assets.agent.mcp.session import OddResult
from agent_assets.conversations.messages import ToolCall, ToolResult
from agent_assets.errors import ConfigError
from agent_assets.settings import whole_environment

# beyond the request's own timeout, for a connection that hangs instead of timing out
_CALL_GRACE_S = 5.0


class Toolbox:
    """The tools of all servers under one roof. Calls may run at the same time.

    Args:
        servers: what was connected to, with what each lists.
        listed: the tools of all of them, by the names models call them by.
        timeout_s: for each call.
        permissions: which of them may be called.
    """

    def __init__(
        self,
        servers: Sequence[ConnectedServer],
        listed: Sequence[ListedTool],
        timeout_s: float,
        permissions: ToolPermissions = ANY_CALL,
    ) -> None:
        self.listed = list(listed)
        self._timeout_s = timeout_s
        self._clients = {server.name: server.client for server in servers}
        self._secrets = {server.name: server.secrets for server in servers}
        usable = sorted((tool for tool in listed if tool.usable), key=lambda tool: tool.alias)
        self._tools = {tool.alias: tool for tool in usable}
        self.tools = [tool.schema for tool in usable if tool.schema is not None]
        self.annotations = {tool.alias: _annotations(tool, permissions) for tool in usable}

    @property
    def unusable(self) -> dict[str, str]:
        """Why a tool of a server (`server/name`) cannot be used or may not be called; those that
        the pipeline's choice leaves out are none of these.
        """
        reasons = {
            f"{tool.server}/{tool.name}": tool.problem or tool.forbidden
            for tool in self.listed
            if tool.not_chosen is None
        }
        return {name: reason for name, reason in reasons.items() if reason is not None}

    async def resources(self, *, max_chars: int) -> dict[str, str]:
        """Texts of the servers' resources by their URI, sorted; binary ones and those over
        `max_chars` are left out.

        Raises:
            ToolServerError: a server died, or did not answer in time.
        """
        texts_by_uri: dict[str, str] = {}
        for server, client in self._clients.items():
            try:
                with anyio.fail_after(self._timeout_s):
                    for resource in await client.list_resources():
                        contents = await _contents(client, str(resource.uri))
                        texts = [
                            block.text
                            for block in contents
                            if isinstance(block, TextResourceContents)
                        ]
                        if texts and sum(map(len, texts)) <= max_chars:
                            texts_by_uri[str(resource.uri)] = "\n".join(texts)
            except MCPError as error:
                if error.code == CONNECTION_CLOSED:
                    raise stopped(server, "resources") from None
                # The server is well, and has no resources.
            except TimeoutError:
                raise late(server, "resources", self._timeout_s) from None
            except SERVER_FAILURES:
                raise stopped(server, "resources") from None
        return dict(sorted(texts_by_uri.items()))

    async def call(self, call: ToolCall) -> ToolResult:
        """Run one call. What the caller got wrong comes back as an error result, which a model can
        read, and so does an answer that cannot be read or is not what the tool promises.

        Raises:
            ToolServerError: the server died, or did not answer in time.
        """
        return (await self.answer(call)).result

    async def answer(self, call: ToolCall) -> ToolAnswer:
        """As `call`, with the structured content of the result.

        Raises:
            ToolServerError: as `call`.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            return failed(f"unknown tool; there are: {', '.join(sorted(self._tools))}")
        if (odd := not_json(call.arguments)) is not None:
            return failed(f"the arguments hold {odd}")
        return with_keys_hidden(await self._ask(tool, call), self._secrets[tool.server])

    async def _ask(self, tool: ListedTool, call: ToolCall) -> ToolAnswer:
        server = tool.server
        client = self._clients[server]
        try:
            with anyio.fail_after(self._timeout_s + _CALL_GRACE_S):
                result = await client.call_tool_mcp(
                    tool.name, call.arguments, timeout=self._timeout_s
                )
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                raise stopped(server, call.name) from None
            if error.code == REQUEST_TIMEOUT:
                raise late(server, call.name, self._timeout_s) from None
            # The server is well and refuses the call (older servers report bad arguments this
            # way), or its answer cannot be read.
            return failed(error.message)
        except OddResult as error:
            return failed(str(error))
        except ValidationError as error:
            return not_as_mcp_says(error)
        except TimeoutError:
            raise late(server, call.name, self._timeout_s) from None
        except SERVER_FAILURES:
            raise stopped(server, call.name) from None
        return read_answer(result)


def load_mcp_config(path: Path, variables: Mapping[str, str]) -> McpConfig:
    """Read an `mcp_config.json`; `${name}` in it stands for `variables[name]`, `${env:NAME}` for
    an environment variable.

    Raises:
        ConfigError: the file is missing, not JSON, has a wrong key or a variable that is not
            there, or enables no server.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", next_step="create it, or correct tools.mcp_config."
        ) from None
    return parse_mcp_config(text, variables, source=str(path), environment=whole_environment())


@asynccontextmanager
async def open_toolbox(
    config: McpConfig,
    *,
    timeout_s: float = 30,
    log_dir: Path | None = None,
    choice: ToolChoice = EVERY_TOOL,
    permissions: ToolPermissions = ANY_CALL,
) -> AsyncIterator[Toolbox]:
    """Start or connect to every server, and close them all at the end.

    Args:
        config: the enabled servers.
        timeout_s: for a server to start and list its tools, and for each call.
        log_dir: where started servers write their standard error, one file each; without it that is
            dropped.
        choice: which tools are taken.
        permissions: which tools may be called; without them every tool.

    Raises:
        ConfigError: the choice names a tool that no server has.
        ToolServerError: a server is missing, slow or crashing, lists tools of which none can be
            used, or shares a tool name with another.
    """
    async with AsyncExitStack() as stack:
        servers = [
            await connect_server(
                stack, name, server, config.secrets, timeout_s=timeout_s, log_dir=log_dir
            )
            for name, server in config.servers.items()
        ]
        listed = catalog(
            (tool for server in servers for tool in server.listed), choice, permissions
        )
        for server in servers:
            own = [tool for tool in listed if tool.server == server.name]
            _check_number(server.name, config.servers[server.name], own)
            if own and not any(tool.usable for tool in own):
                raise nothing_left(
                    server.name,
                    {tool.name: tool.reason for tool in own if tool.reason},
                    allow=line_to_allow(tool.name for tool in own if tool.proposed)
                    if any(tool.reason == SILENT for tool in own)
                    else None,
                )
        clash = used_twice(listed)
        if clash is not None:
            first, second = clash
            raise name_clash(second.name, first.server, second.server)
        yield Toolbox(servers, listed, timeout_s, permissions)


def _check_number(name: str, server: ServerConfig, tools: Sequence[ListedTool]) -> None:
    count = sum(tool.usable for tool in tools)
    if isinstance(server, ApiServer) and count > server.max_tools:
        raise too_many_tools(name, count, server.max_tools)


async def _contents(
    client: Client[ClientTransport], uri: str
) -> list[TextResourceContents | BlobResourceContents]:
    """What a resource holds; nothing when the server cannot read that one: it is well, and has
    others.
    """
    try:
        return list(await client.read_resource(uri))
    except MCPError as error:
        if error.code == CONNECTION_CLOSED:
            raise
        return []


def _annotations(tool: ListedTool, permissions: ToolPermissions) -> dict[str, bool]:
    annotations = {
        "read_only": tool.reads_only,
        "writes": not tool.reads_only and says_it_writes(tool.annotations),
    }
    return annotations | ({"allowed": True} if permissions.names(tool.names) else {})
