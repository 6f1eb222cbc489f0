"""How a tool server is reached: over stdio, SSE or streamable HTTP, each with a session in which
what a server gets wrong costs the call it answers and nothing else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TextIO

from fastmcp.client.transports import (
    ClientTransport,
    SSETransport,
    StreamableHttpTransport,
)
from fastmcp.client.transports.base import SessionKwargs, TransportOptions
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from typing_extensions import Unpack

from agent_assets.agent.mcp.config import ServerConfig
from agent_assets.agent.mcp.session import ToolSession
from agent_assets.priority import RUN_PRIORITY


def transport_to(server: ServerConfig, log: TextIO) -> ClientTransport:
    """The transport of a server.

    Args:
        log: where a server that is started here writes its standard error.
    """
    if server.command is not None:
        command, arguments = RUN_PRIORITY.child_command(server.command, server.args)
        parameters = StdioServerParameters(
            command=command, args=arguments, env=server.env, cwd=server.cwd
        )
        return _Stdio(parameters, log)
    assert server.url is not None  # the config has one of the two
    connect = _Sse if server.way == "sse" else _Http
    return connect(server.url, headers=server.headers)


class _OwnSession(ClientTransport):
    """A transport whose sessions are `ToolSession`s."""

    @asynccontextmanager
    async def connect_session(
        self,
        *,
        transport_options: TransportOptions | None = None,
        **session_kwargs: Unpack[SessionKwargs],
    ) -> AsyncIterator[ClientSession]:
        options = replace(transport_options or TransportOptions(), session_class=ToolSession)
        async with super().connect_session(transport_options=options, **session_kwargs) as session:
            yield session


class _Sse(_OwnSession, SSETransport):
    pass


class _Http(_OwnSession, StreamableHttpTransport):
    pass


class _Stdio(ClientTransport):
    """A server that is started here. The SDK's own transport reads its bytes strictly: one that is
    not UTF-8 ends the connection. Kept as they are they reach the parser, which refuses that line.
    """

    def __init__(self, parameters: StdioServerParameters, log: TextIO) -> None:
        keep_bytes = {"encoding_error_handler": "surrogateescape"}
        self._parameters, self._log = parameters.model_copy(update=keep_bytes), log

    @asynccontextmanager
    async def connect_session(
        self,
        *,
        transport_options: TransportOptions | None = None,
        **session_kwargs: Unpack[SessionKwargs],
    ) -> AsyncIterator[ClientSession]:
        async with (
            stdio_client(self._parameters, errlog=self._log) as (received, sent),
            ToolSession(received, sent, **session_kwargs) as session,
        ):
            yield session
