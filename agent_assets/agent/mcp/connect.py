"""Starts or connects to one MCP server, and reads what it lists."""

import logging
import os
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

import anyio
import httpx2
from fastmcp import Client
from fastmcp.client.transports import ClientTransport
from mcp import MCPError
from mcp_types import LoggingMessageNotificationParams
from pydantic import ValidationError

from agent_assets.agent.mcp.catalog import ListedTool, listed_tools
from agent_assets.agent.mcp.config import ApiServer, ServerConfig
from agent_assets.agent.mcp.entries.variables import Secrets
from agent_assets.agent.mcp.errors import broken_list, log_path, no_api, slow_start, unreachable
from agent_assets.agent.mcp.pages import list_pages
from agent_assets.agent.mcp.session import ToolSession
from agent_assets.agent.mcp.transports import transport_to
from agent_assets.tool_servers.http_api_settings import problem_in

# What fastmcp and the MCP SDK let out when a server cannot be reached, dies, or answers outside the
# protocol.
SERVER_FAILURES = (
    RuntimeError,
    OSError,
    TimeoutError,
    httpx2.HTTPError,
    ValidationError,
    ExceptionGroup,
)


@dataclass(frozen=True)
class ConnectedServer:
    """A server that is connected to, what it lists, and what its answers must not repeat."""

    name: str
    client: Client[ClientTransport]
    listed: list[ListedTool]
    secrets: Secrets


async def connect_server(
    stack: AsyncExitStack,
    name: str,
    server: ServerConfig,
    secrets: Secrets,
    *,
    timeout_s: float,
    log_dir: Path | None,
) -> ConnectedServer:
    """Start or connect to a server, and close it with the stack.

    Raises:
        ToolServerError: it is missing, slow or crashing, or its list cannot be read.
    """
    # The SDK logs lines it cannot parse word by word, and those may hold memory text.
    logging.getLogger("mcp.client").setLevel(logging.CRITICAL)
    # It logs each URL, and one may hold a key.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    api = isinstance(server, ApiServer)
    log = stack.enter_context(_open_log(name, log_dir, readable=api))
    log_start = log.tell() if api else 0
    client = Client(
        transport_to(server, log),
        timeout=timeout_s,
        init_timeout=timeout_s,
        log_handler=_drop_log_message,
    )
    try:
        with anyio.fail_after(timeout_s):
            session = AsyncExitStack()
            await session.enter_async_context(client)
            stack.push_async_callback(_close, session)
            tools = await list_pages(name, client)
    except TimeoutError:
        raise slow_start(name, timeout_s) from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise broken_list(name, f"{where}: {problem['msg']}") from None
    except (MCPError, *SERVER_FAILURES) as error:
        if api and (said := _problem_in(log, log_start)) is not None:
            raise no_api(name, secrets.hidden(said)) from None
        raise unreachable(name, server, error, log_dir, secrets) from None
    unreadable = client.session.unreadable if isinstance(client.session, ToolSession) else []
    once = dict.fromkeys(unreadable)  # a page may come twice
    return ConnectedServer(name, client, listed_tools(name, tools, once), secrets)


async def _close(session: AsyncExitStack) -> None:
    """End the session. A server that died cannot say goodbye: that must not replace the error of
    its last call.
    """
    with suppress(MCPError, *SERVER_FAILURES):
        await session.aclose()


def _open_log(name: str, log_dir: Path | None, *, readable: bool) -> TextIO:
    if log_dir is None:
        if readable:
            return TemporaryFile("a+", encoding="utf-8", errors="replace")
        return Path(os.devnull).open("a", encoding="utf-8")
    log_dir.mkdir(parents=True, exist_ok=True)
    return log_path(name, log_dir).open("a+", encoding="utf-8", errors="replace")


def _problem_in(log: TextIO, start: int) -> str | None:
    """What our server of HTTP APIs says of its start in its log."""
    log.seek(start)
    return problem_in(log.read())


async def _drop_log_message(message: LoggingMessageNotificationParams) -> None:
    """What servers log may hold memory text: it never reaches our log."""
