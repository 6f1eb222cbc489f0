"""`agent-assets mcp ...`: the servers of an `mcp_config.json`, tried by hand; `agent-assets tools`:
what pipelines make of theirs.
"""

import asyncio
import json
import sys
from pathlib import Path

import click

_CONFIG = click.option(
    "--config",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="An mcp_config.json. `${memories}` in it is `-`, `${pipeline}` its folder.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_TIMEOUT = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for a server to start, and for a call.",
)


@click.group()
def mcp() -> None:
    """Try the MCP servers of a configuration by hand."""


@mcp.command("list")
@_CONFIG
@_JSON
@_TIMEOUT
def list_tools(file: Path, *, as_json: bool, timeout_s: float) -> None:
    """List every tool of every server, and why one cannot be used. Exit code 0: at least one can
    be.
    """
    from agent_assets.cli.mcp.servers import list_servers, listing_lines

    listing = asyncio.run(list_servers(file, timeout_s))
    if as_json:
        click.echo(json.dumps(listing, ensure_ascii=False))
    else:
        for line in listing_lines(listing):
            click.echo(line)
    sys.exit(0 if any(tool["usable"] for tool in listing["tools"]) else 1)


@mcp.command("call")
@_CONFIG
@click.argument("tool")
@click.argument("arguments", default="{}")
@_JSON
@_TIMEOUT
def call_tool(file: Path, tool: str, arguments: str, *, as_json: bool, timeout_s: float) -> None:
    """Call TOOL (`name`, or `server/name`) with ARGUMENTS, a JSON object, and print what it
    answers. Exit code 0: it answered, if only with an error.
    """
    from agent_assets.cli.mcp.servers import call_by_name

    answer, answered = asyncio.run(call_by_name(file, tool, arguments, timeout_s))
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        click.echo(answer["text"], err=bool(answer["is_error"]))
        if answer["structured"] is not None:
            click.echo(json.dumps(answer["structured"], ensure_ascii=False, indent=2))
    sys.exit(0 if answered else 1)


@mcp.command("inspect", context_settings={"ignore_unknown_options": True})
@_CONFIG
@click.argument("name")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def inspect_server(file: Path, name: str, options: tuple[str, ...]) -> None:
    """Open the server NAME in the MCP inspector, with its variables filled in. OPTIONS are the
    inspector's: `--cli --method tools/list` prints its tools. Needs Node.js.
    """
    from agent_assets.cli.mcp.inspector import run_inspector

    sys.exit(run_inspector(file, name, options))


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Only this pipeline (repeatable).")
def tools(pipelines: tuple[str, ...]) -> None:
    """List the tools of every pipeline, which of them may be called and why not the others, and
    the line that allows those that plainly read.
    """
    from agent_assets.cli.mcp.servers import pipeline_lines

    for line in pipeline_lines(pipelines):
        click.echo(line)


COMMANDS = (mcp, tools)
