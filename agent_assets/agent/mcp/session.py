"""A session with an MCP server in which one tool that breaks the protocol costs that tool alone.

The SDK validates a list of tools as a whole: one title that is a number, and none of the tools can
be read. Here each entry is tried by itself, and one that cannot be read is set aside with its
reason.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Unpack

from fastmcp.client.transports import (
    SSETransport,
    StdioTransport,
    StreamableHttpTransport,
)
from fastmcp.client.transports.base import ClientTransport, SessionKwargs, TransportOptions
from mcp import ClientSession
from mcp.shared.dispatcher import CallOptions
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import Tool
from mcp_types.methods import validate_server_result
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError

_LIST = "tools/list"
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


@dataclass(frozen=True)
class UnreadableTool:
    """A tool of a server's list that the protocol does not allow.

    Args:
        name: as the server gives it; its place in the list where it gives none.
        reason: what is wrong, without the value.
    """

    name: str
    reason: str


class ToolSession(ClientSession):
    """A session that reads each tool by itself; `unreadable` are those it could not read."""

    def __init__(self, read_stream: Any, write_stream: Any, **options: Any) -> None:
        self._tool_lists = _ToolLists(read_stream, write_stream, lambda: self.protocol_version)
        super().__init__(dispatcher=self._tool_lists, **options)

    @property
    def unreadable(self) -> list[UnreadableTool]:
        """Tools of all lists so far that could not be read."""
        return self._tool_lists.unreadable


class _ToolLists(JSONRPCDispatcher[Any]):
    """Takes what cannot be read out of lists of tools before the SDK judges them as a whole."""

    def __init__(
        self, read_stream: Any, write_stream: Any, version: Callable[[], str | None]
    ) -> None:
        super().__init__(read_stream, write_stream)
        self._version = version
        self.unreadable: list[UnreadableTool] = []

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        result = await super().send_raw_request(method, params, opts, **others)
        entries = result.get("tools")
        if method != _LIST or not isinstance(entries, list):
            return result
        tools = []
        version = self._version() or LATEST_HANDSHAKE_VERSION
        for number, entry in enumerate(entries, start=1):
            readable = _readable(entry, number, version)
            if isinstance(readable, UnreadableTool):
                self.unreadable.append(readable)
            else:
                tools.append(readable)
        return {**result, "tools": tools}


def _readable(entry: object, number: int, version: str) -> dict[str, Any] | UnreadableTool:
    """The entry; without what calls do not need where the whole cannot be read."""
    if not isinstance(entry, dict):
        return UnreadableTool(f"tool {number}", "it is not a JSON object")
    if _problem(entry, version) is None:
        return entry
    needed = _needed(entry)
    problem = _problem(needed, version)
    if problem is None:
        return needed
    name = entry.get("name")
    return UnreadableTool(name if isinstance(name, str) else f"tool {number}", problem)


def _needed(entry: dict[str, Any]) -> dict[str, Any]:
    """What a tool is called with, in the form of the protocol."""
    schema, description, hints = map(entry.get, ("inputSchema", "description", "annotations"))
    # Arguments are an object in any case; some servers leave that out.
    if isinstance(schema, dict) and "type" not in schema:
        schema = {"type": "object", **schema}
    return {
        "name": entry.get("name"),
        "description": description if isinstance(description, str) else None,
        "inputSchema": schema,
        "annotations": {
            key: value
            for key, value in (hints if isinstance(hints, dict) else {}).items()
            if key in _HINTS and isinstance(value, bool)
        },
    }


def _problem(entry: dict[str, Any], version: str) -> str | None:
    """Why a version of the protocol does not allow an entry; None when it does."""
    listed = {"tools": [entry], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    try:
        validate_server_result(_LIST, version, listed)
        Tool.model_validate(entry, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"tools", 0})
        return f"{where}: {first['msg']}"
    return None


class _WithToolSession(ClientTransport):
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


class StdioTools(_WithToolSession, StdioTransport):
    """A server that is started here."""


class SseTools(_WithToolSession, SSETransport):
    """A server that is asked over SSE."""


class HttpTools(_WithToolSession, StreamableHttpTransport):
    """A server that is asked over streamable HTTP."""
