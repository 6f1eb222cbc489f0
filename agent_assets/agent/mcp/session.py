"""A session with an MCP server in which one tool that breaks the protocol costs that tool alone,
and one answer that breaks it costs its call.

The SDK validates a list of tools as a whole: one title that is a number, and none of the tools can
be read. Here each entry is tried by itself, and one that cannot be read is set aside with its
reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import ClientSession
from mcp.shared.dispatcher import CallOptions
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import CallToolResult, Tool
from mcp_types.methods import validate_server_result
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError

from agent_assets.agent.mcp.answers import Answers, ReceivedMessages, SentMessages

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


class OddResult(Exception):
    """A result that its tool does not promise; the reason. Always handled by the toolbox."""


class ToolSession(ClientSession):
    """A session that reads each tool by itself; `unreadable` are those it could not read."""

    def __init__(self, read_stream: Any, write_stream: Any, **options: Any) -> None:
        answers = Answers()
        self._tool_lists = _ToolLists(
            ReceivedMessages(read_stream, answers),
            SentMessages(write_stream, answers),
            lambda: self.protocol_version,
        )
        super().__init__(dispatcher=self._tool_lists, **options)

    @property
    def unreadable(self) -> list[UnreadableTool]:
        """Tools of all lists so far that could not be read."""
        return self._tool_lists.unreadable

    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Hold a result to the tool's output schema.

        Raises:
            OddResult: it does not fit, is missing, or the schema cannot be used.
        """
        try:
            await super().validate_tool_result(name, result)
        except RuntimeError as error:
            raise OddResult(_why(error, result)) from None


def _why(error: RuntimeError, result: CallToolResult) -> str:
    from jsonschema import exceptions

    if isinstance(error.__cause__, exceptions.ValidationError):
        place, message = error.__cause__.json_path, error.__cause__.message
        return f"the result does not fit the tool's outputSchema: {place}: {message}"
    if result.structured_content is None:
        return "the result has no structuredContent, which the tool's outputSchema promises"
    return "the tool's outputSchema is not a usable JSON Schema, so its results cannot be checked"


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
