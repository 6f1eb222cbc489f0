"""Opens the MCP servers of a pipeline and calls their tools, over stdio, SSE or streamable HTTP.

Each server has a client of its own: two servers with one tool name are an error here, where a
merged client would silently prefix or drop one. Errors name the server and never quote what a tool
answered.
"""

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO

import anyio
import httpx2
from fastmcp import Client
from fastmcp.client.transports import (
    ClientTransport,
    SSETransport,
    StdioTransport,
    StreamableHttpTransport,
)
from mcp import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    LoggingMessageNotificationParams,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)
from pydantic import ValidationError

from agent_assets.agent.mcp.config import McpConfig, ServerConfig, parse_mcp_config
from agent_assets.agent.mcp.errors import (
    broken_schema,
    late,
    log_path,
    name_clash,
    slow_start,
    stopped,
    unreachable,
)
from agent_assets.conversations.messages import ToolCall, ToolResult, ToolSchema, canonical_json
from agent_assets.conversations.tools import check_schema, normalise_schema
from agent_assets.errors import ConfigError
from agent_assets.priority import RUN_PRIORITY

MAX_RESULT_BYTES = 1_000_000

# beyond the request's own timeout, for a connection that hangs instead of timing out
_CALL_GRACE_S = 5.0

# What fastmcp and the MCP SDK let out when a server cannot be reached, dies, or answers outside the
# protocol.
_SERVER_FAILURES = (
    RuntimeError,
    OSError,
    TimeoutError,
    httpx2.HTTPError,
    ValidationError,
    ExceptionGroup,
)


class Toolbox:
    """The tools of all servers under one roof. Calls may run at the same time."""

    def __init__(self, timeout_s: float) -> None:
        self.tools: list[ToolSchema] = []
        self.annotations: dict[str, dict[str, bool]] = {}
        self._timeout_s = timeout_s
        self._servers: dict[str, str] = {}
        self._clients: dict[str, Client[ClientTransport]] = {}

    def add(self, server: str, client: Client[ClientTransport], tools: list[Tool]) -> None:
        """Take in the tools of one server.

        Raises:
            ToolServerError: a schema is broken, or another server has a tool of that name.
        """
        self._clients[server] = client
        for tool in tools:
            schema = ToolSchema(
                tool.name, (tool.description or "").strip(), normalise_schema(tool.input_schema)
            )
            problems = check_schema(schema)
            if problems:
                raise broken_schema(
                    server, f"tool {tool.name!r} with a broken schema: {'; '.join(problems)}"
                )
            if tool.name in self._servers:
                raise name_clash(tool.name, self._servers[tool.name], server)
            self._servers[tool.name] = server
            self.tools.append(schema)
            annotations = tool.annotations
            read_only = annotations is not None and annotations.read_only_hint is True
            writes = (
                annotations is not None
                and not read_only
                and (annotations.read_only_hint is False or annotations.destructive_hint is True)
            )
            self.annotations[tool.name] = {"read_only": read_only, "writes": writes}

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
            except _SERVER_FAILURES:
                raise stopped(server, "resources") from None
        return dict(sorted(texts_by_uri.items()))

    async def call(self, call: ToolCall) -> ToolResult:
        """Run one call. What the caller got wrong comes back as an error result, which a model can
        read.

        Raises:
            ToolServerError: the server died, did not answer in time, or answered outside the
                protocol.
        """
        server = self._servers.get(call.name)
        if server is None:
            return ToolResult(
                f"unknown tool; there are: {', '.join(sorted(self._servers))}", is_error=True
            )
        try:
            with anyio.fail_after(self._timeout_s + _CALL_GRACE_S):
                client = self._clients[server]
                result = await client.call_tool_mcp(
                    call.name, call.arguments, timeout=self._timeout_s
                )
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                raise stopped(server, call.name) from None
            if error.code == REQUEST_TIMEOUT:
                raise late(server, call.name, self._timeout_s) from None
            # The server is well and refuses the call: older servers report bad arguments this way.
            return ToolResult(error.message, is_error=True)
        except TimeoutError:
            raise late(server, call.name, self._timeout_s) from None
        except _SERVER_FAILURES:
            raise stopped(server, call.name) from None
        return _read_result(result)


def load_mcp_config(path: Path, variables: Mapping[str, str]) -> McpConfig:
    """Read an `mcp_config.json`; `${name}` in it stands for `variables[name]`.

    Raises:
        ConfigError: the file is missing, not JSON, has a wrong key or an unknown variable, or
            enables no server.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", next_step="create it, or correct tools.mcp_config."
        ) from None
    return parse_mcp_config(text, variables, source=str(path))


@asynccontextmanager
async def open_toolbox(
    config: McpConfig, *, timeout_s: float = 30, log_dir: Path | None = None
) -> AsyncIterator[Toolbox]:
    """Start or connect to every server, and close them all at the end.

    Args:
        config: the enabled servers.
        timeout_s: for a server to start and list its tools, and for each call.
        log_dir: where started servers write their standard error, one file each; without it that is
            dropped.

    Raises:
        ToolServerError: a server is missing, slow, crashing, lists a broken schema, or shares a
            tool name with another.
    """
    # The SDK logs lines it cannot parse word by word, and those may hold memory text.
    logging.getLogger("mcp.client").setLevel(logging.CRITICAL)
    toolbox = Toolbox(timeout_s)
    async with AsyncExitStack() as stack:
        for name, server in config.servers.items():
            log = stack.enter_context(_open_log(name, log_dir))
            client = Client(
                _transport(server, log),
                timeout=timeout_s,
                init_timeout=timeout_s,
                log_handler=_drop_log_message,
            )
            try:
                with anyio.fail_after(timeout_s):
                    session = AsyncExitStack()
                    await session.enter_async_context(client)
                    stack.push_async_callback(_close, session)
                    tools = await client.list_tools()
            except TimeoutError:
                raise slow_start(name, timeout_s) from None
            except ValidationError as error:
                problem = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in problem["loc"])
                raise broken_schema(
                    name, f"its tools with a broken schema: {where}: {problem['msg']}"
                ) from None
            except (MCPError, *_SERVER_FAILURES) as error:
                raise unreachable(name, server, error, log_dir) from None
            toolbox.add(name, client, tools)
        toolbox.tools.sort(key=lambda tool: tool.name)
        yield toolbox


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


async def _close(session: AsyncExitStack) -> None:
    """End the session. A server that died cannot say goodbye: that must not replace the error of
    its last call.
    """
    with suppress(MCPError, *_SERVER_FAILURES):
        await session.aclose()


def _transport(server: ServerConfig, log: TextIO) -> ClientTransport:
    if server.command is not None:
        command, arguments = RUN_PRIORITY.child_command(server.command, server.args)
        return StdioTransport(
            command,
            arguments,
            env=server.env,
            cwd=server.cwd,
            keep_alive=False,
            log_file=log,
        )
    assert server.url is not None  # the config has one of the two
    connect = SSETransport if server.way == "sse" else StreamableHttpTransport
    return connect(server.url, headers=server.headers)


def _open_log(name: str, log_dir: Path | None) -> TextIO:
    if log_dir is None:
        return Path(os.devnull).open("a", encoding="utf-8")
    log_dir.mkdir(parents=True, exist_ok=True)
    return log_path(name, log_dir).open("a", encoding="utf-8")


async def _drop_log_message(message: LoggingMessageNotificationParams) -> None:
    """What servers log may hold memory text: it never reaches our log."""


def _read_result(result: CallToolResult) -> ToolResult:
    """Text of a result; its structured content where it has no text; the kind of what cannot be
    shown as text.
    """
    texts = [_text_of(block) for block in result.content]
    if not texts and result.structured_content is not None:
        texts = [canonical_json(result.structured_content)]
    text = "\n".join(texts)
    size = len(text.encode())
    if size > MAX_RESULT_BYTES:
        return ToolResult(
            f"the result has {size} bytes; at most {MAX_RESULT_BYTES} are allowed", is_error=True
        )
    return ToolResult(text, is_error=bool(result.is_error))


def _text_of(block: ContentBlock) -> str:
    """A block's text, also that of a resource sent along; for the others what they are, never their
    bytes.
    """
    match block:
        case TextContent():
            return block.text
        case EmbeddedResource(resource=TextResourceContents(text=text)):
            return text
        case EmbeddedResource(resource=resource):
            return f"[{block.type} {resource.uri}]"
        case ResourceLink():
            return f"[{block.type} {block.uri}]"
        case _:
            return f"[{block.type}]"
