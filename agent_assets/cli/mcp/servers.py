"""What `agent-assets mcp`, `tools` and `doctor` say of MCP servers."""

import asyncio
import json
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.cli.finding import Finding
from agent_assets.conversations.messages import JsonObject, ToolCall
from agent_assets.errors import AgentAssetsError, ConfigError, ToolServerError

if TYPE_CHECKING:
    from agent_assets.agent.mcp.catalog import ListedTool
    from agent_assets.agent.mcp.config import McpConfig
    from agent_assets.agent.mcp.survey import Survey
    from agent_assets.automation.pipelines import Graph


async def list_servers(file: Path, timeout_s: float) -> JsonObject:
    """Tools and servers of an mcp_config.json.

    Raises:
        ConfigError: the file cannot be read or is wrong.
    """
    from agent_assets.agent.mcp.survey import survey

    surveyed = await survey(config_of(file), timeout_s=timeout_s)
    return {
        "tools": [
            {
                "server": tool.server,
                "name": tool.name,
                "alias": tool.alias,
                "usable": tool.usable,
                "reason": tool.reason,
                "reads_only": tool.reads_only,
            }
            for tool in surveyed.tools
        ],
        "servers": [
            {"name": server.name, "ok": server.reason is None, "reason": server.reason}
            for server in surveyed.servers
        ],
    }


def listing_lines(listing: JsonObject) -> Iterator[str]:
    """What `list_servers` gives, for people."""
    for server in listing["servers"]:
        yield f"server    {server['name']}" + (
            "" if server["ok"] else f"  FAILED: {server['reason']}"
        )
    for tool in listing["tools"]:
        called = "" if tool["alias"] == tool["name"] else f" (models call it {tool['alias']})"
        if tool["usable"]:
            reads = "only reads" if tool["reads_only"] else "may change things"
            yield f"usable    {tool['server']}/{tool['name']}{called}  {reads}"
        else:
            yield f"left out  {tool['server']}/{tool['name']}{called}  {tool['reason']}"


async def call_by_name(
    file: Path, name: str, text: str, timeout_s: float
) -> tuple[JsonObject, bool]:
    """What a tool answers, and whether it did.

    Args:
        name: of the tool, as its server or models call it, or as `server/name`.
        text: the arguments, a JSON object.

    Raises:
        ConfigError: the file or the arguments are wrong, or there is no such tool.
    """
    from agent_assets.agent.mcp.results import ToolAnswer, failed
    from agent_assets.agent.mcp.survey import open_whatever_works

    arguments = _arguments(text)
    async with open_whatever_works(config_of(file), timeout_s=timeout_s) as (surveyed, box):
        tool = _tool(surveyed, name)
        began, answered = time.monotonic(), True
        answer: ToolAnswer
        try:
            answer = await box.answer(ToolCall(tool.alias, arguments, "1"))
        except ToolServerError as error:
            answer, answered = failed(error.message), False
        return {
            "is_error": answer.result.is_error,
            "text": answer.result.text,
            "structured": answer.structured,
            "seconds": round(time.monotonic() - began, 3),
        }, answered


def pipeline_lines(names: Collection[str]) -> Iterator[str]:
    """The tools of pipelines, for people.

    Raises:
        ConfigError: there is no pipeline of a name, or one is wrong.
    """
    from agent_assets.automation.pipelines import load_graphs

    graphs = {graph.name: graph for graph in load_graphs()}
    if unknown := [name for name in names if name not in graphs]:
        raise ConfigError(
            f"There is no pipeline {unknown[0]!r}.", next_step=f"name one of {', '.join(graphs)}."
        )
    for name in names or graphs:
        surveyed = _survey(graphs[name])
        yield name
        for server in surveyed.servers:
            if server.reason is not None:
                yield f"  FAILED    {server.name}  {server.reason}"
        for tool in surveyed.tools:
            state = "called" if tool.usable else "left out"
            why = tool.reason or ("only reads" if tool.reads_only else "tools.allow_writing")
            yield f"  {state:<9} {tool.server}/{tool.name}  {why}"
        if line := _proposal(surveyed):
            yield f"  To allow what plainly reads, in its defs.yaml: {line}"


def examine_tools() -> list[Finding]:
    """For each pipeline: whether its servers answer, and which of their tools are left out."""
    from agent_assets.automation.pipelines import load_graphs

    try:
        return [_finding(graph) for graph in load_graphs()]
    except AgentAssetsError:
        return []  # a pipeline is wrong: that is a finding of its own


def _finding(graph: "Graph") -> Finding:
    title = f"tools {graph.name}"
    try:
        surveyed = _survey(graph)
    except AgentAssetsError as error:
        return Finding(title, False, error.message, error.next_step or "")
    failed = [server for server in surveyed.servers if server.reason is not None]
    usable = sum(tool.usable for tool in surveyed.tools)
    left_out = [tool for tool in surveyed.tools if tool.problem or tool.forbidden]
    names = ", ".join(f"{tool.server}/{tool.name}" for tool in left_out)
    detail = f"{usable} are called" + (f"; left out: {names}" if left_out else "")
    line = _proposal(surveyed)
    if failed:
        reasons = "; ".join(f"{server.name}: {server.reason}" for server in failed)
        fix = f"add `{line}` to its defs.yaml" if line else "see `agent-assets tools`"
        return Finding(title, False, reasons, fix)
    if line:
        detail += f" (to allow what plainly reads, in its defs.yaml: {line})"
    return Finding(title, True, detail)


def _survey(graph: "Graph") -> "Survey":
    return asyncio.run(graph.spec.tool_servers.survey())


def _proposal(surveyed: "Survey") -> str:
    """The line that allows what plainly reads; "" where there is nothing to allow."""
    from agent_assets.agent.mcp.permissions import line_to_allow

    names = [tool.name for tool in surveyed.tools if tool.proposed]
    return line_to_allow(names) if names else ""


def _tool(surveyed: "Survey", name: str) -> "ListedTool":
    named = [tool for tool in surveyed.tools if name in tool.names]
    for tool in named:
        if tool.usable:
            return tool
    if named:
        raise ConfigError(
            f"The tool {name!r} cannot be used: {named[0].reason}.", next_step="correct its server."
        )
    failures = [f"{server.name}: {server.reason}" for server in surveyed.servers if server.reason]
    others = f" ({'; '.join(failures)})" if failures else ""
    known = ", ".join(tool.name for tool in surveyed.tools if tool.usable) or "(there are none)"
    raise ConfigError(f"There is no tool {name!r}{others}.", next_step=f"name one of {known}.")


def _arguments(text: str) -> JsonObject:
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"The arguments are not JSON: {error}.", next_step="write a JSON object, in quotes."
        ) from None
    if not isinstance(arguments, dict):
        raise ConfigError(
            "The arguments are not a JSON object.",
            next_step='write one, as in \'{"city": "Ulm"}\'.',
        )
    return arguments


def config_of(file: Path) -> "McpConfig":
    """An mcp_config.json with its variables filled in, for nobody's memories.

    Raises:
        ConfigError: the file cannot be read or is wrong.
    """
    from agent_assets.agent.mcp.servers import NO_MEMORIES
    from agent_assets.agent.mcp.toolbox import load_mcp_config

    folder = str(file.resolve().parent)
    variables = {"python": sys.executable, "memories": NO_MEMORIES, "pipeline": folder}
    return load_mcp_config(file, variables)
