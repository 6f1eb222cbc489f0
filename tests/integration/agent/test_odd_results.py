"""A result that cannot be read, or is not what its tool promises, costs that call: at once, with
its true reason, and the session goes on.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.messages import ToolCall, ToolResult

RAW = Path(__file__).with_name("raw_server.py")
FINE = ToolResult("fine")
UNREADABLE = "the server's answer cannot be read: "


STDIO = ServerConfig(command=sys.executable, args=[str(RAW), "stdio"])


def call_all(
    names: list[str],
    arguments: dict[str, object] | None = None,
    server: ServerConfig = STDIO,
) -> list[ToolResult]:
    """One after the other in one session, with 60 s for each."""

    async def talk() -> list[ToolResult]:
        async with open_toolbox(McpConfig({"raw": server}), timeout_s=60) as toolbox:
            return [await toolbox.call(ToolCall(name, arguments or {}, "1")) for name in names]

    return asyncio.run(talk())


REASONS = {
    "missing_field_with_schema": "the result does not fit the tool's outputSchema: $: 'degrees' is "
    "a required property",
    "wrong_type_with_schema": "the result does not fit the tool's outputSchema: $.degrees: 'cold' "
    "is not of type 'number'",
    "text_only_with_schema": "the result has no structuredContent, which the tool's outputSchema "
    "promises",
    "error_with_schema": "no sensor",
    "structured_only": "the result is not as MCP defines it: content: Field required",
    "nan": "the result's structuredContent holds NaN or an infinite number ($.rows[0].price)",
    "infinity": "the result's structuredContent holds NaN or an infinite number ($.price)",
    "unknown_block": "the result is not as MCP defines it: content.0",
    "null_text": "the result is not as MCP defines it: content.0.TextContent.text",
    "null_result": UNREADABLE + "it is not a JSON-RPC message",
    "list_result": UNREADABLE + "it is not a JSON-RPC message",
    "text_result": UNREADABLE + "it is not a JSON-RPC message",
    "half_surrogate": UNREADABLE + "it holds half a surrogate pair",
    "not_utf8": UNREADABLE + "it holds bytes that are not UTF-8",
    "not_utf8_key": UNREADABLE + "it holds bytes that are not UTF-8",
    "cut": UNREADABLE + "it is not valid JSON (EOF while parsing a string",
    "cut_without_id": UNREADABLE + "it is not valid JSON (EOF while parsing a string",
    "control": UNREADABLE + "it is not valid JSON (control character",
    "single_quotes": UNREADABLE + "it is not valid JSON (key must be a string",
    "no_version": UNREADABLE + "it is not a JSON-RPC message",
    "batch": UNREADABLE + "it is not a JSON-RPC message",
    "glued": UNREADABLE + "it is not valid JSON (trailing characters",
    "float_id": UNREADABLE + "it is not a JSON-RPC message",
    "no_id_error": "Parse error",
    "deep": UNREADABLE + "it is not valid JSON (recursion limit exceeded",
    "long_number": UNREADABLE + "it is not valid JSON (number out of range",
    "error_text": UNREADABLE + "it is not a JSON-RPC message",
}


@pytest.fixture(params=["stdio", "json", "events", "sse"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerConfig]:
    if request.param == "stdio":
        yield STDIO
        return
    command = [sys.executable, str(RAW), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield ServerConfig(
            url=f"http://127.0.0.1:{port}/{'sse' if command[-1] == 'sse' else 'mcp'}"
        )
        process.kill()


def test_each_odd_result_is_an_error_of_its_call_and_nothing_else_is_lost(
    server: ServerConfig, request: pytest.FixtureRequest
) -> None:
    # events are decoded with U+FFFD for what is not UTF-8, as their standard says
    reasons = {
        name: reason
        for name, reason in REASONS.items()
        if "UTF-8" not in reason or not request.node.callspec.id.endswith(("events", "sse"))
    }
    names = [name for odd in reasons for name in (odd, "good")]
    began = time.monotonic()
    results = call_all(names, server=server)
    assert time.monotonic() - began < 30  # none of them waits for its time-out
    odd, good = dict(zip(reasons, results[::2], strict=True)), results[1::2]
    assert good == [FINE] * len(reasons)
    assert {name: result.is_error for name, result in odd.items()} == dict.fromkeys(reasons, True)
    unlike = {
        name: (odd[name].text, reason)
        for name, reason in reasons.items()
        if not odd[name].text.startswith(reason)
    }
    assert unlike == {}


def test_results_that_are_as_promised() -> None:
    names = ["good_with_schema", "structured_and_empty", "prints"]
    assert call_all(names) == [ToolResult("4 degrees"), ToolResult('{"degrees":4}'), FINE]


def test_calls_at_the_same_time_each_get_their_own_answer() -> None:
    async def talk() -> list[ToolResult]:
        servers = {"raw": STDIO}
        names = ["cut", "good", "cut_without_id", "not_utf8", "good", "no_id_error"]
        async with open_toolbox(McpConfig(servers), timeout_s=60) as toolbox:
            calls = [ToolCall(name, {}, str(index)) for index, name in enumerate(names)]
            return list(await asyncio.gather(*map(toolbox.call, calls)))

    results = asyncio.run(asyncio.wait_for(talk(), 30))
    assert [result.is_error for result in results] == [True, False, True, True, False, True]
    assert results[1] == results[4] == FINE


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "the arguments hold NaN or an infinite number ($.x)"),
        ("\ud83d", "the arguments hold half a surrogate pair ($.x)"),
    ],
)
def test_arguments_that_are_not_json_reach_no_server(value: object, reason: str) -> None:
    """Half a surrogate in an argument ended the whole session."""
    assert call_all(["good"], {"x": value}) == [ToolResult(reason, is_error=True)]
    assert call_all(["good"], {"x": 1}) == [FINE]


@pytest.mark.parametrize("cursor", ["'same'", "''", "str(turn)"])
def test_a_cursor_that_does_not_advance_repeats_a_page(cursor: str, tmp_path: Path) -> None:
    script = tmp_path / "pages.py"
    script.write_text(
        "import json, sys\n"
        "turn = 0\n"
        "for text in sys.stdin:\n"
        "    message = json.loads(text)\n"
        "    if 'id' not in message:\n"
        "        continue\n"
        "    answer = {'error': {'code': -32601, 'message': 'no'}}\n"
        "    if message['method'] == 'initialize':\n"
        "        info = {'name': 'pages', 'version': '1'}\n"
        "        version = message['params']['protocolVersion']\n"
        "        answer = {'result': {'protocolVersion': version, 'serverInfo': info,\n"
        "                             'capabilities': {'tools': {}}}}\n"
        "    if message['method'] == 'tools/list':\n"
        "        turn += 1\n"
        "        tools = [{'name': name, 'inputSchema': {'type': 'object'}} for name in 'ab']\n"
        f"        answer = {{'result': {{'tools': tools, 'nextCursor': {cursor}}}}}\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': message['id'], **answer}), flush=True)\n",
        encoding="utf-8",
    )

    async def names() -> list[str]:
        servers = {"server": ServerConfig(command=sys.executable, args=[str(script)])}
        async with open_toolbox(McpConfig(servers), timeout_s=20) as toolbox:
            return [tool.name for tool in toolbox.tools]

    assert asyncio.run(names()) == ["a", "b"]
