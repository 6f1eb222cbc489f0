"""Rows of the scripted teacher on MCP servers of other people: are they valid, and is every tool covered or named?

python benchmarks/public_servers.py [--quick]      half a minute after the installs; --quick leaves out the one from npm

Servers are installed into a temporary folder, in the versions below, and work on a repository, a database and a folder
made for this. Every row that was kept is replayed: its calls are checked against the schema and executed once more.

The last line is one JSON object. For each server, and over all of them:
valid_on_replay   share of kept rows whose calls are valid and whose read-only results come again, target >= 0.95
covered           tools with training calls
unnamed           tools that are neither covered nor named as uncoverable with a reason, target 0
uncovered         reason by tool
"""  # noqa: E501

import argparse
import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.validation import validate_conversation
from agent_assets.synthesis.build import make_rows
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.questions import make_questions

FROM_PYPI = {
    "mcp-server-time": ["mcp-server-time==2026.10.19"],
    "mcp-server-sqlite": ["mcp-server-sqlite==2025.4.25", "mcp<2"],  # does not start with mcp 2
    "mcp-server-git": ["mcp-server-git==2026.10.19"],
}
# What no schema tells: where the data is. A user gives it in wordings.yaml, as here; a tool without
# gets nonsense.
VALUES: dict[str, dict[str, dict[str, list[Any]]]] = {
    "time": {},
    "sqlite": {
        "read_query": {"query": ["SELECT * FROM price", "SELECT COUNT(*) FROM price"]},
        "describe_table": {"table_name": ["price"]},
    },
    "git": {
        tool: {
            "repo_path": ["{repository}"],
            "revision": ["HEAD"],
            "target": ["HEAD"],
            "branch_type": ["local", "all"],
        }
        for tool in (
            "git_status",
            "git_log",
            "git_show",
            "git_diff",
            "git_diff_unstaged",
            "git_diff_staged",
            "git_branch",
        )
    },
    "filesystem": {
        tool: {"path": ["{files}/notes.txt", "{files}/second.txt"]}
        for tool in ("read_text_file", "read_file", "get_file_info")
    }
    | {
        tool: {"path": ["{files}"]}
        for tool in ("list_directory", "list_directory_with_sizes", "directory_tree")
    },
}
FROM_NPM = "@modelcontextprotocol/server-filesystem@2026.8.31"


def install(folder: Path, *, npm: bool) -> dict[str, ServerConfig]:
    """The servers by name, each with something to work on."""
    programs = {}
    for name, requirements in FROM_PYPI.items():  # each with the libraries it was written for
        venv.create(folder / name, with_pip=True)
        binaries = folder / name / "bin"
        install_pip = [str(binaries / "python"), "-m", "pip", "install", "-q", *requirements]
        subprocess.run(install_pip, check=True, stderr=subprocess.DEVNULL)
        programs[name] = str(binaries / name)
    repository, database, files = folder / "repository", folder / "shop.db", folder / "files"
    make_repository(repository)
    with sqlite3.connect(database) as connection:
        connection.executescript(
            "CREATE TABLE price (day TEXT, value REAL); INSERT INTO price VALUES ('2025-04-01', 3)"
        )
    files.mkdir()
    (files / "notes.txt").write_text("first line\nsecond line\n", encoding="utf-8")
    (files / "second.txt").write_text("third line\n", encoding="utf-8")
    servers = {
        "time": ServerConfig(
            command=programs["mcp-server-time"], args=["--local-timezone", "Asia/Shanghai"]
        ),
        "sqlite": ServerConfig(
            command=programs["mcp-server-sqlite"], args=["--db-path", str(database)]
        ),
        "git": ServerConfig(
            command=programs["mcp-server-git"], args=["--repository", str(repository)]
        ),
    }
    if npm:
        install_npm = [
            "npm",
            "install",
            "--silent",
            "--no-fund",
            "--no-audit",
            "--prefix",
            str(folder),
            FROM_NPM,
        ]
        subprocess.run(install_npm, check=True, stdout=subprocess.DEVNULL)
        program = folder / "node_modules" / ".bin" / "mcp-server-filesystem"
        servers["filesystem"] = ServerConfig(command=str(program), args=[str(files)])
    return servers


def make_repository(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.txt").write_text("one\n", encoding="utf-8")
    author = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


def write_wordings(
    path: Path, tools: dict[str, dict[str, list[Any]]], places: dict[str, str]
) -> Path:
    languages = {
        tool: {
            "parameters": {
                name: {"values": [value.format(**places) for value in values]}
                for name, values in parameters.items()
            }
        }
        for tool, parameters in tools.items()
    }
    path.write_text(json.dumps({"tools": languages}), encoding="utf-8")  # JSON is YAML
    return path


async def measure(server: ServerConfig, folder: Path, templates_file: Path) -> dict[str, Any]:
    """Rows on one server, each replayed."""
    questions, rows = folder / "questions", folder / "rows"
    questions.mkdir(parents=True)
    rows.mkdir()
    async with open_toolbox(McpConfig({"server": server})) as toolbox:
        tools = sorted(toolbox.tools, key=lambda tool: tool.name)
        make_questions(
            questions,
            tools=tools,
            config=QuestionsConfig(per_tool=12, heldout_per_tool=4),
            templates_file=templates_file,
        )
        summary = await make_rows(
            rows,
            questions_folder=questions,
            tools=tools,
            toolbox=toolbox,
            memories_folder=None,
            config=RowsConfig(),
            system_prompt=None,
            templates_file=templates_file,
        )
        valid_rows = [
            json.loads(line)
            for line in (rows / "train.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        valid = 0
        for row in valid_rows:
            conversation = from_swift(row)
            messages = conversation.messages
            results = {
                message.tool_call_id: message.content
                for message in messages
                if message.role == "tool"
            }
            calls = [call for message in messages for call in message.tool_calls]
            good = not validate_conversation(conversation, max_chars=100_000)
            for call in calls:
                if toolbox.annotations.get(call.name, {}).get("read_only"):
                    good = good and (await toolbox.call(call)).text == results[call.id]
            valid += good
    names = {tool.name for tool in tools}
    covered = {name for name, calls in summary["calls_by_tool"].items() if calls}
    return {
        "tools": len(names),
        "rows": len(valid_rows),
        "exchanges": summary["exchanges"],
        "rejected": summary["rejected"],
        "rejected_by_reason": summary["rejected_by_reason"],
        "valid_on_replay": round(valid / len(valid_rows), 4) if valid_rows else None,
        "covered": len(covered),
        "unnamed": len(names - covered - set(summary["uncovered"])),
        "uncovered": summary["uncovered"],
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="without the server from npm")
    arguments = parser.parse_args()
    npm = not arguments.quick and shutil.which("npm") is not None
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for server, config in install(folder, npm=npm).items():
            places = {"repository": str(folder / "repository"), "files": str(folder / "files")}
            templates_file = write_wordings(folder / f"{server}.yaml", VALUES[server], places)
            figures[server] = asyncio.run(measure(config, folder / server, templates_file))
            print(server, json.dumps(figures[server], ensure_ascii=False))
    shares = [
        result["valid_on_replay"]
        for result in figures.values()
        if result["valid_on_replay"] is not None
    ]
    unnamed = sum(result["unnamed"] for result in figures.values())
    print(
        json.dumps(
            {"valid_on_replay": min(shares), "unnamed": unnamed, **figures}, ensure_ascii=False
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
