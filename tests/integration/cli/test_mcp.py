"""`agent-assets mcp list` and `mcp call` on real servers, some of which are broken."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent_assets.agent.mcp.config import parse_mcp_config
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.automation.pipelines import Graph
from agent_assets.cli.main import commands
from agent_assets.cli.mcp.servers import examine_tools
from agent_assets.errors import ConfigError, ToolServerError
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec

AGENT = Path(__file__).parents[1] / "agent"
NOTES = Path(__file__).parents[1] / "synthesis" / "notes_server.py"
FIELDS = {"server", "name", "alias", "usable", "reason", "reads_only"}


def config(folder: Path, **servers: list[str]) -> Path:
    """A file with servers that are Python scripts, in `folder`."""
    entries = {
        name: {"command": "${python}", "args": arguments} for name, arguments in servers.items()
    }
    file = folder / "servers.json"
    file.write_text(json.dumps({"mcpServers": entries}), encoding="utf-8")
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["mcp", *map(str, arguments)])


def call(file: Path, tool: str, arguments: str = "{}") -> dict[str, Any]:
    result = run("call", "--config", file, tool, arguments, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    assert set(answer) == {"is_error", "text", "structured", "seconds"}
    return answer


def test_a_broken_server_hides_no_other(tmp_path: Path) -> None:
    file = config(
        tmp_path,
        notes=[str(NOTES), str(tmp_path / "calls.log")],
        gone=["-c", "raise SystemExit(3)"],
    )
    result = run("list", "--config", file, "--json")
    assert result.exit_code == 0
    listing = json.loads(result.stdout)
    assert set(listing) == {"tools", "servers"}
    notes, gone = listing["servers"]
    assert notes == {"name": "notes", "ok": True, "reason": None}
    assert gone["name"] == "gone"
    assert not gone["ok"]
    assert "did not start" in gone["reason"]
    assert all(set(tool) == FIELDS for tool in listing["tools"])
    reads = {tool["name"]: tool["reads_only"] for tool in listing["tools"]}
    assert reads == {
        "count_words": True,
        "search_notes": False,
        "purge_all_notes": False,
        "send_mail": False,
    }
    assert all(tool["usable"] and tool["reason"] is None for tool in listing["tools"])
    lines = run("list", "--config", file).stdout.splitlines()
    assert "usable    notes/search_notes  may change things" in lines
    assert not (tmp_path / "calls.log").exists()  # to list is not to call


def test_nothing_usable_is_exit_code_1(tmp_path: Path) -> None:
    result = run("list", "--config", config(tmp_path, gone=["-c", "raise SystemExit(3)"]), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["tools"] == []


def test_calls(tmp_path: Path) -> None:
    raw = [str(AGENT / "raw_server.py"), "stdio"]
    file = config(tmp_path, raw=raw, gone=["-c", "raise SystemExit(3)"])
    good = call(file, "good_with_schema")
    assert good["seconds"] >= 0
    assert good | {"seconds": 0} == {
        "is_error": False,
        "text": "4 degrees",
        "structured": {"degrees": 4},
        "seconds": 0,
    }
    odd = call(file, "raw/not_utf8")
    assert odd["is_error"]
    assert odd["structured"] is None
    assert "bytes that are not UTF-8" in odd["text"]
    assert odd["seconds"] < 10
    assert run("call", "--config", file, "good").stdout == "fine\n"


def test_arguments_reach_the_tool(tmp_path: Path) -> None:
    file = config(tmp_path, notes=[str(NOTES), str(tmp_path / "calls.log")])
    assert call(file, "count_words", '{"number": 3}')["text"] == "21 words"
    assert call(file, "count_words", '{"number": "three"}')["is_error"]


def test_a_server_that_dies_in_a_call_is_exit_code_1_and_still_json(tmp_path: Path) -> None:
    file = config(tmp_path, odd=[str(AGENT / "odd_server.py"), "die_in_call"])
    result = run("call", "--config", file, "odd_tool", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["is_error"]
    assert "stopped during a call" in answer["text"]


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("god", "{}", "There is no tool 'god'"),
        ("good", "{", "The arguments are not JSON"),
        ("good", "[1]", "The arguments are not a JSON object"),
    ],
)
def test_what_cannot_be_called_is_said(
    tool: str, arguments: str, says: str, tmp_path: Path
) -> None:
    file = config(tmp_path, raw=[str(AGENT / "raw_server.py"), "stdio"])
    result = run("call", "--config", file, tool, arguments, "--json")
    assert isinstance(result.exception, ConfigError)
    assert says in result.exception.message
    assert result.exception.next_step


def test_the_shipped_pipelines_call_all_their_tools() -> None:
    result = CliRunner().invoke(commands, ["tools"])
    assert result.exit_code == 0
    assert "left out" not in result.stdout
    assert "FAILED" not in result.stdout
    assert "called    memories/search_memories  only reads" in result.stdout


def test_doctor_proposes_the_line_that_allows_what_plainly_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    config(folder, notes=[str(NOTES), str(tmp_path / "calls.log")]).rename(
        folder / "mcp_config.json"
    )
    spec = PipelineSpec(PipelineConfig(name="notes"), folder)
    monkeypatch.setattr("agent_assets.automation.pipelines.load_graphs", lambda: [Graph(spec, {})])
    (finding,) = examine_tools()
    assert finding.ok
    assert finding.detail == (
        "1 are called; left out: notes/search_notes, notes/purge_all_notes, notes/send_mail "
        "(to allow what plainly reads, in its defs.yaml: tools: {read_only: [search_notes]})"
    )
    assert not (tmp_path / "calls.log").exists()


SHOP = """
from contextlib import asynccontextmanager
from fastapi import FastAPI, Header

print("this must not end in the protocol")
orders: dict[int, str] = {}

@asynccontextmanager
async def stocked(app):
    orders[1] = "tea"
    yield

app = FastAPI(lifespan=stocked)

@app.get("/orders/{number}", operation_id="get_order")
def get_order(number: int, authorization: str = Header("", include_in_schema=False)) -> dict:
    print("nor this")
    return {"item": orders[number], "key": authorization}

for place in range(600):
    app.get(f"/places/{place}", operation_id=f"get_place_{place}")(lambda: "here")
"""


def test_http_apis_are_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-0123456789abcdef"
    monkeypatch.setenv("SHOP_KEY", key)
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    shop: dict[str, object] = {
        "fastapi": "shop:app",
        "headers": {"Authorization": "${env:SHOP_KEY}"},
    }
    servers = {
        "shop": shop | {"include": ["get_order"]},
        "gone": {"openapi": "http://127.0.0.1:9/openapi.json"},
    }
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    answer = call(file, "get_order", '{"number": 1}')
    assert answer["structured"] == {"item": "tea", "key": "${env:SHOP_KEY}"}
    assert call(file, "get_order", '{"number": 2}')["is_error"]  # status 500
    assert "gone  FAILED: The HTTP API 'gone' cannot be used: its OpenAPI document cannot be " in (
        run("list", "--config", file).output
    )

    async def opened(entry: dict[str, object]) -> list[str]:
        text = json.dumps({"mcpServers": {"shop": entry}})
        variables = {"pipeline": str(tmp_path)}
        config = parse_mcp_config(text, variables, source="f", environment={"SHOP_KEY": key})
        async with open_toolbox(config) as toolbox:
            return [tool.name for tool in toolbox.tools]

    with pytest.raises(ToolServerError, match="601 operations") as raised:
        asyncio.run(opened(shop))
    assert "choose in mcp_config.json with 'include'" in str(raised.value)
    assert len(asyncio.run(opened(shop | {"include": ["/places/1?"]}))) == 10


ECHO = """
import os, sys
from fastmcp import FastMCP
server = FastMCP("echo")
@server.tool
def whoami() -> str:
    return "you are " + os.environ["KEY"]
server.run(show_banner=False)
"""


def test_a_key_of_the_environment_reaches_the_server_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-0123456789abcdef"
    servers = {
        "echo": {"command": "${python}", "args": ["-c", ECHO], "env": {"KEY": "${env:CRM_KEY}"}},
        "gone": {
            "url": "http://127.0.0.1:9/${env:CRM_KEY}/mcp",
            "headers": {"Authorization": "Bearer ${env:CRM_KEY}"},
        },
        "typo": {"command": "/nowhere/${env:CRM_KEY}"},
    }
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    assert "environment variable CRM_KEY is not set" in str(run("list", "--config", file).exception)
    monkeypatch.setenv("CRM_KEY", key)
    assert call(file, "whoami")["text"] == "you are ${env:CRM_KEY}"
    listed = run("list", "--config", file).output
    assert "gone  FAILED" in listed and "typo  FAILED" in listed
    assert key not in listed
