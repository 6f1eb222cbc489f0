"""Rows of the scripted teacher on MCP servers of other people: none crashes us, no failure is kept,
and every tool is covered or named with what it needs.

python benchmarks/public_servers.py [--quick] [--only NAME ...] [--keep FOLDER]

Two to five minutes after the installs; --quick takes the five small servers from PyPI. Servers are
installed into `FOLDER/programs` (a temporary folder without --keep), each with libraries of its
own, and work on data made for this. Each is measured twice: from its schemas alone, and with the
values a user would give (`public_server_list.py`). Kept rows are replayed: calls are checked
against the schema and executed once more.

Failures are judged by `public_server_failures.yaml`: per server the texts in which it complains,
written down while reading what it answered. The product knows nothing of that list. With --keep
every kept exchange lies in FOLDER for reading.

The last line is one JSON object:
servers             measured
servers_with_rows   with rows where values are given; `rows_without_values`: from schemas alone
tools_named         tools covered or named with a reason, of `tools`
failures_kept       kept exchanges whose result is a failure by the reviewed list, target 0
crashes             servers at which anything but a named error came out, target 0
writing_called      calls of tools whose server does not say that they only read, and that nobody
                    reviewed as reading, target 0
valid_on_replay     share of all kept rows that are valid and whose results come again; a clock that
                    stood within its second while rows were made has moved by then
needs               by server without rows: what it needs, in the product's words
"""

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from public_server_data import install, prepare, prepare_by_library, started, wordings
from public_server_list import SERVERS, PublicServer

from agent_assets.agent.mcp.catalog import ListedTool
from agent_assets.agent.mcp.config import McpConfig, ServerConfig
from agent_assets.agent.mcp.permissions import ToolPermissions
from agent_assets.agent.mcp.toolbox import Toolbox, open_toolbox
from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.messages import Conversation, JsonObject, ToolCall, ToolResult
from agent_assets.conversations.validation import validate_conversation
from agent_assets.errors import AgentAssetsError
from agent_assets.synthesis.build import make_rows
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.chained import chained_values
from agent_assets.synthesis.questions.questions import make_questions

REVIEWED = Path(__file__).with_name("public_server_failures.yaml")
NO_ROWS: JsonObject = {"tools": 0, "rows": 0, "unnamed": 0, "writing_called": 0}
QUESTIONS = QuestionsConfig(per_tool=8, heldout_per_tool=3)


@dataclass
class Measured:
    """What came of one server."""

    figures: JsonObject
    kept: list[Conversation] = field(default_factory=list)


class CountingTools:
    """A toolbox that counts the calls of each tool."""

    def __init__(self, toolbox: Toolbox) -> None:
        self.toolbox, self.annotations = toolbox, toolbox.annotations
        self._calls: Counter[str] = Counter()

    async def call(self, call: ToolCall) -> ToolResult:
        """Count and execute a call."""
        self._calls[call.name] += 1
        return await self.toolbox.call(call)

    def writing(self, server: PublicServer) -> int:
        """Calls of tools whose server does not say that they only read, and that nobody reviewed
        as reading.
        """
        hinted = {tool.alias for tool in self.toolbox.listed if _says_it_reads(tool)}
        return sum(
            count
            for name, count in self._calls.items()
            if name not in hinted and name not in server.reads
        )


def _says_it_reads(tool: ListedTool) -> bool:
    return tool.annotations is not None and tool.annotations.read_only_hint is True


async def measure(
    server: PublicServer, config: ServerConfig, folder: Path, templates_file: Path | None
) -> Measured:
    """Rows on one server, each replayed."""
    servers = McpConfig({server.name: config})
    async with open_toolbox(servers, log_dir=folder) as every_tool:
        figures = NO_ROWS | {"tools": len(every_tool.tools)}
        names = {tool.name for tool in every_tool.tools}
    not_called: set[str] = set()
    may_be_called = ToolPermissions(read_only=frozenset(server.reads))
    try:
        async with open_toolbox(servers, log_dir=folder, permissions=may_be_called) as toolbox:
            not_called |= {name.rpartition("/")[2] for name in toolbox.unusable}
            counting = CountingTools(toolbox)
            summary = await _made(counting, folder, templates_file)
            kept = [
                from_swift(json.loads(line))
                for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
            ]
            valid = [await _is_valid(conversation, toolbox) for conversation in kept]
    except AgentAssetsError as error:
        unnamed = [name for name in names - not_called if name not in error.message]
        return Measured(figures | {"needs": error.message, "unnamed": len(unnamed)})
    covered = {name for name, calls in summary["calls_by_tool"].items() if calls}
    return Measured(
        figures
        | {
            "rows": len(kept),
            "exchanges": summary["exchanges"],
            "rejected_by_reason": summary["rejected_by_reason"],
            "valid_on_replay": round(sum(valid) / len(valid), 4),
            "covered": len(covered),
            "unnamed": len(names - covered - not_called - set(summary["uncovered"])),
            "uncovered": summary["uncovered"],
            "not_called": len(not_called),
            "writing_called": counting.writing(server),
        },
        kept,
    )


async def _made(tools: CountingTools, folder: Path, templates_file: Path | None) -> JsonObject:
    """Questions and rows, written into the folder."""
    schemas = sorted(tools.toolbox.tools, key=lambda tool: tool.name)
    make_questions(
        folder,
        tools=schemas,
        config=QUESTIONS,
        templates_file=templates_file,
        chained=await chained_values(templates_file, schemas, tools),
    )
    return await make_rows(
        folder,
        questions_folder=folder,
        tools=schemas,
        toolbox=tools,
        memories_folder=None,
        config=RowsConfig(),
        system_prompt=None,
        templates_file=templates_file,
    )


async def _is_valid(conversation: Conversation, toolbox: Toolbox) -> bool:
    messages = conversation.messages
    results = {m.tool_call_id: m.content for m in messages if m.role == "tool"}
    calls = [call for message in messages for call in message.tool_calls]
    valid = not validate_conversation(conversation, max_chars=100_000)
    for call in calls:
        if toolbox.annotations.get(call.name, {}).get("read_only"):
            valid = valid and (await toolbox.call(call)).text == results[call.id]
    return valid


def exchanges(kept: list[Conversation]) -> list[tuple[ToolCall, str]]:
    """Every kept call with its result."""
    pairs = []
    for conversation in kept:
        results = {m.tool_call_id: m.content for m in conversation.messages if m.role == "tool"}
        for message in conversation.messages:
            pairs += [(call, results[call.id]) for call in message.tool_calls]
    return pairs


def failures(server: str, kept: list[Conversation]) -> int:
    """Kept exchanges whose result is a failure by the reviewed list."""
    reviewed = yaml.safe_load(REVIEWED.read_text(encoding="utf-8"))
    patterns = [re.compile(text) for text in [*reviewed["any"], *reviewed.get(server, ())]]
    return sum(any(pattern.search(result) for pattern in patterns) for _, result in exchanges(kept))


def measure_server(server: PublicServer, folder: Path, *, with_values: bool) -> JsonObject:
    """The figures of one server; a crash is one of them."""
    shutil.rmtree(folder, ignore_errors=True)
    program = install(server, folder.parents[1])
    try:
        data = prepare(server, folder)
        prepare_by_library(server, program, data)
        templates_file = wordings(server, data, folder / "wordings.yaml") if with_values else None
        config = started(server, program, data)
        measured = asyncio.run(measure(server, config, folder, templates_file))
    except AgentAssetsError as error:  # the server as a whole: named, and no crash
        return NO_ROWS | {"needs": error.message}
    except (Exception, ExceptionGroup) as error:  # noqa: BLE001 what this benchmark counts
        print(f"{server.name}: {type(error).__name__}: {error}", file=sys.stderr)
        return NO_ROWS | {"crashed": True}
    with (folder / "kept.txt").open("w", encoding="utf-8") as file:
        for call, result in exchanges(measured.kept):
            file.write(f"{call.name} {json.dumps(call.arguments)}\n    {result[:400]!r}\n")
    return measured.figures | {"failures_kept": failures(server.name, measured.kept)}


def summed_up(without: dict[str, JsonObject], figures: dict[str, JsonObject]) -> JsonObject:
    """The last line."""
    both = [*without.values(), *figures.values()]
    tools = sum(result["tools"] for result in figures.values())
    rows = sum(result["rows"] for result in both)
    valid = sum(result["rows"] * (result.get("valid_on_replay") or 0) for result in both)
    return {
        "servers": len(figures),
        "servers_with_rows": sum(result["rows"] > 0 for result in figures.values()),
        "tools": tools,
        "tools_named": tools - sum(result["unnamed"] for result in figures.values()),
        "failures_kept": sum(result.get("failures_kept", 0) for result in both),
        "crashes": sum(result.get("crashed", False) for result in both),
        "writing_called": sum(result["writing_called"] for result in both),
        "valid_on_replay": round(valid / rows, 4) if rows else None,
        "rows_without_values": {name: result["rows"] for name, result in without.items()},
        "rows": {name: result["rows"] for name, result in figures.items()},
        "needs": {name: result["needs"] for name, result in figures.items() if "needs" in result},
    }


def main() -> int:
    """Measure every server, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="five small servers from PyPI")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these servers alone")
    parser.add_argument("--keep", type=Path, help="folder for programs, rows and exchanges")
    arguments = parser.parse_args()
    servers: list[PublicServer] = [
        server
        for server in SERVERS
        if (server.quick or not arguments.quick)
        and (arguments.only is None or server.name in arguments.only)
        and not (server.npm and not shutil.which("npm"))
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.keep or Path(temporary)
        runs: dict[bool, dict[str, JsonObject]] = {False: {}, True: {}}
        for server in servers:
            for with_values, figures in runs.items():
                kind = "values" if with_values else "schemas"
                figures[server.name] = measure_server(
                    server, (folder / kind / server.name).absolute(), with_values=with_values
                )
                line: Any = {server.name: kind, **figures[server.name]}
                print(json.dumps(line, ensure_ascii=False), flush=True)
    print(json.dumps(summed_up(runs[False], runs[True]), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
