"""The memory server behind a port: for holders of its token, under its own name. And what a server
that is started here can read of our environment.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.conversations.messages import ToolCall, ToolResult
from agent_assets.errors import ToolServerError
from support.listening_server import listening_server

TOKEN = "0123456789abcdef" * 2
MOTHER = Memory("f-01", "Who was your mother?", "Abiah Folger.", "family")
ENVIRONMENT_SERVER = """
import json, os
from fastmcp import FastMCP
server = FastMCP("environment")
@server.tool(output_schema=None)
def environment() -> str:
    return json.dumps(dict(os.environ))
server.run("stdio", show_banner=False)
"""
# What the MCP SDK hands on, what a shell adds, and what Python sets itself.
USUAL = {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "PWD", "SHLVL", "_", "LC_CTYPE"}


@pytest.fixture
def memory_server(tmp_path: Path) -> list[str]:
    write_memories(tmp_path, ElderProfile("franklin", "Benjamin Franklin"), [MOTHER])
    return ["-m", "agent_assets.tool_servers.memory", "--memories", str(tmp_path)]


def ask(server: ServerConfig, name: str, **arguments: str) -> ToolResult:
    async def talk() -> ToolResult:
        async with open_toolbox(McpConfig({"server": server})) as toolbox:
            return await toolbox.call(ToolCall(name, arguments, "1"))

    return asyncio.run(talk())


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_memories_are_told_to_holders_of_the_token_alone(
    memory_server: list[str], transport: str
) -> None:
    with listening_server(memory_server, transport, AGENT_ASSETS_TOOL_TOKEN=TOKEN) as (url, _):

        def server(token: str | None) -> ServerConfig:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            given = {"url": url, "transport": transport, "headers": headers}
            return ServerConfig.model_validate(given)

        told = ask(server(TOKEN), "search_memories", query="your mother")
        assert "Abiah Folger." in told.text
        for wrong in (None, "", TOKEN[:-1], f"{TOKEN}0", "é" * 32):
            with pytest.raises(ToolServerError):
                ask(server(wrong), "search_memories", query="your mother")


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_a_page_under_a_name_of_its_own_is_refused(
    memory_server: list[str], transport: str
) -> None:
    """DNS rebinding: the browser shows the name of the page in Host, and often in Origin."""
    allowed = [*memory_server, "--allowed-host", "memories.internal"]
    with listening_server(allowed, transport, AGENT_ASSETS_TOOL_TOKEN=TOKEN) as (url, _):
        own = httpx.URL(url).netloc.decode()
        statuses = {}
        for host, origin in (
            ("attacker.example", None),
            (f"attacker.example:{httpx.URL(url).port}", None),
            ("127.0.0.1.attacker.example", None),
            (own, "http://attacker.example"),
            (own, None),
            ("memories.internal", None),
        ):
            headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
            statuses[host, origin] = httpx.get(url, headers=headers).status_code
    refused = {name: status for name, status in statuses.items() if "attacker" in str(name)}
    assert set(refused.values()) == {421, 403}
    assert {status for name, status in statuses.items() if name not in refused} == {401}


@pytest.mark.parametrize(("token", "says"), [("", "is not set"), ("short", "is too short")])
def test_without_a_token_memories_are_behind_no_port(
    memory_server: list[str], token: str, says: str
) -> None:
    done = subprocess.run(
        [sys.executable, *memory_server, "--transport", "http"],
        env=os.environ | {"AGENT_ASSETS_TOOL_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"AGENT_ASSETS_TOOL_TOKEN {says}" in done.stderr and "openssl rand" in done.stderr


def test_a_tool_server_gets_the_variables_it_names_and_no_secret_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "OPENAI_API_KEY",
        "WANDB_API_KEY",
        "MONGODB_URI",
        "AGENT_ASSETS_SECRET",
        "DAGSTER_POSTGRES_URL",
        "AGENT_ASSETS_HOME",
        "SOME_OTHER_SECRET",
    ):
        monkeypatch.setenv(name, "canary-of-the-environment")
    server = ServerConfig(
        command=sys.executable, args=["-c", ENVIRONMENT_SERVER], env={"NAMED": "yes"}
    )
    seen = json.loads(ask(server, "environment").text)
    assert seen["NAMED"] == "yes"
    assert "canary" not in json.dumps(seen)
    assert set(seen) <= USUAL | {"NAMED"}, sorted(seen)
