"""The recorder under which all tests run sees what it has to see; and the table that switches off
what libraries would send counts in every process.
"""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.conversations.messages import ToolCall, ToolResult
from agent_assets.engines.environment import engine_environment
from agent_assets.no_telemetry import NO_TELEMETRY
from support.outside import Outside

# A name and an address that no test uses; both are reserved, and lead nowhere.
NAME, ADDRESS = "leaks.agent-assets", "192.0.2.7"
TRIES = {
    "look-up": f"socket.getaddrinfo('{NAME}', 80)",
    "old look-up": f"socket.gethostbyname('{NAME}')",
    "connection": f"socket.create_connection(('{ADDRESS}', 9), 0.1)",
    "datagram": f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{ADDRESS}', 9))",
    "route": f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('{ADDRESS}', 9))",
    "IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect(('2001:db8::7', 9))",
}


@pytest.fixture
def recorder(outside: Outside) -> Outside:
    if outside.library is None:
        pytest.skip("no C compiler: children of the tests are not watched")
    return outside


@pytest.mark.parametrize("kind", TRIES)
def test_what_a_child_asks_of_the_world_is_written_down(recorder: Outside, kind: str) -> None:
    program = f"import contextlib, socket\nwith contextlib.suppress(OSError): {TRIES[kind]}"
    subprocess.run([sys.executable, "-c", program], check=True)
    lines = recorder.new_lines()
    assert lines and any(part in lines[0] for part in (NAME, ADDRESS, "2001:db8::7")), lines


def test_loopback_is_nobodys_business(recorder: Outside) -> None:
    program = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "for name in ('127.0.0.1', 'localhost', socket.gethostname()):\n"
        "    socket.getaddrinfo(name, 80)\n"
        "socket.create_connection(server.getsockname())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert recorder.new_lines() == []


def test_what_this_process_asks_is_written_down(outside: Outside) -> None:
    with pytest.raises(OSError):
        socket.getaddrinfo(NAME, 80)
    with pytest.raises(OSError):
        socket.create_connection((ADDRESS, 9), 0.1)
    lines = outside.new_lines()
    assert any(NAME in line for line in lines) and any(ADDRESS in line for line in lines)


def test_engines_are_watched_and_ask_nobody_whatever_our_environment_says(
    recorder: Outside,
) -> None:
    given = {"LD_PRELOAD": str(recorder.library), "HF_HUB_OFFLINE": "0", "VLLM_HOST_IP": "1.2.3.4"}
    given |= {"HF_TOKEN": "secret", "VLLM_API_KEY": "secret"}
    environment = engine_environment({}, source=given)
    assert environment["LD_PRELOAD"] == str(recorder.library)
    assert environment.items() >= NO_TELEMETRY.items()
    assert "secret" not in environment.values()


def test_commands_switch_it_off_for_themselves_and_their_children() -> None:
    program = (
        "import os\n"
        "from click.testing import CliRunner\n"
        "from agent_assets.cli.main import commands\n"
        "CliRunner().invoke(commands, ['openapi'])\n"
        "print(*(f'{name}={value}' for name, value in os.environ.items()), sep='\\n')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in NO_TELEMETRY}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [name for name, value in NO_TELEMETRY.items() if f"{name}={value}" not in lines] == []


def test_our_tool_servers_ask_nobody(recorder: Outside, tmp_path: Path) -> None:
    """They get no variable that their configuration does not name: here it names the recorder."""
    write_memories(tmp_path, ElderProfile("ada", "Ada"), [Memory("m1", "Your trade?", "Candles.")])
    env = {"LD_PRELOAD": str(recorder.library)}
    memory = ["-m", "agent_assets.tool_servers.memory", "--memories", str(tmp_path)]
    energy = ["-m", "agent_assets.tool_servers.energy"]
    servers = {
        name: ServerConfig(command=sys.executable, args=arguments, env=env)
        for name, arguments in {"memory": memory, "energy": energy}.items()
    }

    async def talk() -> list[ToolResult]:
        async with open_toolbox(McpConfig(servers)) as box:
            calls = (
                ToolCall("search_memories", {"query": "trade"}, "1"),
                ToolCall("get_current_date", {}, "2"),
            )
            return [await box.call(call) for call in calls]

    found, today = asyncio.run(talk())
    assert "Candles." in found.text and not today.is_error
    assert recorder.new_lines() == []
