"""MCP servers that are missing, slow, crashing or wrong: the error names the server, and nothing is
left running.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from agent_assets.agent.mcp.choice import ToolChoice
from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.survey import survey
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.messages import ToolCall, ToolResult, ToolSchema
from agent_assets.errors import ConfigError, ToolServerError

SCRIPT = Path(__file__).with_name("odd_server.py")
SECRET = "told in confidence"


def odd(mode: str) -> ServerConfig:
    return ServerConfig(command=sys.executable, args=[str(SCRIPT), mode])


def run(
    servers: dict[str, ServerConfig], *, timeout_s: float = 20, log_dir: Path | None = None
) -> tuple[list[ToolSchema], ToolResult]:
    """The tools, and the answer to one call."""

    async def talk() -> tuple[list[ToolSchema], ToolResult]:
        async with open_toolbox(
            McpConfig(servers), timeout_s=timeout_s, log_dir=log_dir
        ) as toolbox:
            return toolbox.tools, await toolbox.call(ToolCall("odd_tool", {"text": SECRET}, "1"))

    return asyncio.run(talk())


def failure(
    servers: dict[str, ServerConfig], *, timeout_s: float = 20, log_dir: Path | None = None
) -> str:
    """The error, which must not quote what was asked or answered, also not through its causes."""
    with pytest.raises(ToolServerError) as raised:
        run(servers, timeout_s=timeout_s, log_dir=log_dir)
    assert raised.value.next_step
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert SECRET not in str(raised.value)
    return str(raised.value)


def children() -> set[int]:
    return {
        int(pid)
        for path in Path("/proc/self/task").glob("*/children")
        for pid in path.read_text().split()
    }


def test_a_resource_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    script = tmp_path / "three.py"
    script.write_text(
        "from fastmcp import FastMCP\n"
        "server = FastMCP('three')\n"
        "@server.resource('data://a')\n"
        "def a() -> str:\n    return 'AAA'\n"
        "@server.resource('data://b')\n"
        "def b() -> str:\n    raise ValueError('locked')\n"
        "@server.resource('data://c')\n"
        "def c() -> str:\n    return 'CCC'\n"
        "server.run(show_banner=False)\n",
        encoding="utf-8",
    )

    async def read() -> dict[str, str]:
        servers = {"three": ServerConfig(command=sys.executable, args=[str(script)])}
        async with open_toolbox(McpConfig(servers), timeout_s=60) as toolbox:
            return await toolbox.resources(max_chars=100)

    assert asyncio.run(read()) == {"data://a": "AAA", "data://c": "CCC"}


def test_missing_command() -> None:
    message = failure({"memories": ServerConfig(command="/no/such/server")})
    assert "'memories' did not start (/no/such/server)" in message
    assert "No such file" in message


def test_crash_at_start_points_at_the_log(tmp_path: Path) -> None:
    message = failure({"memories of a": odd("crash_at_start")}, log_dir=tmp_path / "logs")
    log = tmp_path / "logs" / "mcp-memories_of_a.log"
    assert "'memories of a' did not start" in message
    assert "it ended at once" in message
    assert str(log) in message
    assert log.read_text() == "no database\n"


def test_slow_start_is_given_up_and_ended() -> None:
    before, started = children(), time.monotonic()
    assert "'slow' did not start and list its tools within 1 s" in failure(
        {"slow": odd("slow_start")}, timeout_s=1
    )
    assert time.monotonic() - started < 10
    assert children() == before


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("not_object", "type"),
        ("missing_ref", "$ref '#/$defs/Day' has no target"),
        ("not_a_schema", "nummer"),
    ],
)
def test_broken_schema(mode: str, says: str) -> None:
    message = failure({"broken": odd(mode)})
    assert "'broken' lists" in message
    assert says in message


def test_a_broken_tool_costs_itself_alone() -> None:
    async def talk() -> tuple[list[str], dict[str, str], ToolResult]:
        async with open_toolbox(McpConfig({"odd": odd("mixed")})) as toolbox:
            return (
                [tool.name for tool in toolbox.tools],
                toolbox.unusable,
                await toolbox.call(ToolCall("admin_tools_list", {}, "1")),
            )

    names, unusable, result = asyncio.run(talk())
    assert names == ["admin_tools_list", "odd_tool", "untidy"]
    # The model has an alias, and the server is called by its own name.
    assert result == ToolResult("admin.tools.list")
    assert set(unusable) == {"odd/not_a_schema", "odd/no_schema", "odd/tool 6", "odd/tool 8"}
    assert "nummer" in unusable["odd/not_a_schema"]
    assert unusable["odd/tool 8"] == "it is not a JSON object"


def test_tools_are_chosen_by_hand() -> None:
    def names(**choice: tuple[str, ...]) -> list[str]:
        async def talk() -> list[str]:
            config = McpConfig({"odd": odd("mixed")})
            async with open_toolbox(config, choice=ToolChoice(**choice)) as toolbox:
                return [tool.name for tool in toolbox.tools]

        return asyncio.run(talk())

    assert names(only=("admin.tools.list",)) == ["admin_tools_list"]
    assert names(without=("odd/odd_tool", "admin_tools_list")) == ["untidy"]
    with pytest.raises(ConfigError, match="names the tool 'odd_tol', which no server has"):
        names(without=("odd_tol",))
    with pytest.raises(ToolServerError, match="None of the tools that the server 'odd' lists"):
        names(without=("odd_tool", "untidy", "admin.tools.list"))


def test_one_of_two_servers_with_one_tool_name_has_to_go() -> None:
    servers = {"first": odd("ok"), "second": odd("ok")}
    message = failure(servers)
    assert "'first' and 'second' both have a tool 'odd_tool'" in message
    surveyed = asyncio.run(survey(McpConfig(servers)))
    assert [tool.usable for tool in surveyed.tools] == [True, False]
    assert surveyed.servers[1].reason == "none of its tools can be used"


def test_a_survey_names_what_cannot_be_used() -> None:
    servers = {"odd": odd("mixed"), "gone": ServerConfig(command="/no/such/server")}
    surveyed = asyncio.run(survey(McpConfig(servers)))
    assert {server.name: server.reason is None for server in surveyed.servers} == {
        "odd": True,
        "gone": False,
    }
    assert "No such file" in str(surveyed.servers[1].reason)
    aliases = {tool.name: tool.alias for tool in surveyed.tools if tool.usable}
    assert aliases == {
        "odd_tool": "odd_tool",
        "admin.tools.list": "admin_tools_list",
        "untidy": "untidy",
    }


def test_death_in_a_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = children()
    assert "'odd' stopped during a call of 'odd_tool'" in failure(
        {"odd": odd("die_in_call")}, log_dir=tmp_path
    )
    assert SECRET in (tmp_path / "mcp-odd.log").read_text()
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err
    assert children() == before


def test_slow_call() -> None:
    assert "'odd' did not answer a call of 'odd_tool' within 1 s" in failure(
        {"odd": odd("slow_call")}, timeout_s=1
    )


def test_lines_that_are_no_messages_are_skipped_and_not_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run({"odd": odd("chatter")})[1] == ToolResult("fine")
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_nobody_listens_and_the_error_holds_no_password(transport: str) -> None:
    server = ServerConfig.model_validate(
        {"url": "http://user:hunter2@127.0.0.1:9/mcp?token=hunter2", "transport": transport}
    )
    message = failure({"remote": server})
    assert "'remote' cannot be used (http://127.0.0.1:9/mcp)" in message
    assert "hunter2" not in message


def test_tools_are_normalised() -> None:
    tools, _ = run({"odd": odd("ok")})
    parameters = {"type": "object", "properties": {"text": {"type": "string", "default": None}}}
    assert tools == [ToolSchema("odd_tool", "Odd.", parameters)]


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("structured", ToolResult('{"a":"中","b":1}')),
        ("image", ToolResult("a\n[image]")),
        ("audio", ToolResult("[audio]")),
        ("blob", ToolResult("[resource file:///a.bin]")),
        ("text_resource", ToolResult("中")),
        ("link", ToolResult("[resource_link file:///b.txt]")),
        ("control", ToolResult("a\x00b\x1b[31m")),
        (
            "huge",
            ToolResult("the result has 1000001 bytes; at most 1000000 are allowed", is_error=True),
        ),
        (
            "no_result",
            ToolResult(
                "the result is not as MCP defines it: content: Field required", is_error=True
            ),
        ),
        ("refuse", ToolResult("text is not allowed", is_error=True)),
    ],
)
def test_results(mode: str, result: ToolResult) -> None:
    assert run({"odd": odd(mode)})[1] == result


def test_a_server_does_not_inherit_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third-party server must not read the keys of this process."""
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    names = run({"odd": odd("environment")})[1].text.split(",")
    assert "PATH" in names
    assert "OPENAI_API_KEY" not in names
    given = odd("environment").model_copy(update={"env": {"GIVEN": "1"}})
    assert "GIVEN" in run({"odd": given})[1].text.split(",")


def test_an_unknown_tool_is_an_answer_a_model_can_read() -> None:
    async def talk() -> ToolResult:
        async with open_toolbox(McpConfig({"odd": odd("ok")})) as toolbox:
            return await toolbox.call(ToolCall("delete_everything", {}, "1"))

    assert asyncio.run(talk()) == ToolResult("unknown tool; there are: odd_tool", is_error=True)


def test_descriptors_are_given_back() -> None:
    run({"odd": odd("ok")})
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        run({"odd": odd("ok")})
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
