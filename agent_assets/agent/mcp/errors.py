"""What can go wrong with an MCP server, said so that a reader knows which server and what to do.

Nothing here quotes what a tool answered or what a server logged: both may be memory text.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import httpx2
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED

from agent_assets.agent.mcp.config import ServerConfig
from agent_assets.agent.mcp.entries.variables import Secrets
from agent_assets.errors import ToolServerError

_MOST_NAMED = 10  # tools of a server of which nothing is left


def log_path(name: str, log_dir: Path) -> Path:
    """Where a server that was started here writes its standard error."""
    return log_dir / f"mcp-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.log"


def slow_start(server: str, timeout_s: float) -> ToolServerError:
    """A server that did not list its tools in time."""
    return ToolServerError(
        f"The tool server '{server}' did not start and list its tools within {timeout_s:g} s.",
        next_step="see why it is slow, or raise tools.timeout_s of the pipeline.",
    )


def name_clash(tool: str, first: str, second: str) -> ToolServerError:
    """Two servers with one tool name."""
    return ToolServerError(
        f"The tool servers '{first}' and '{second}' both have a tool {tool!r}.",
        next_step=f"leave one out in defs.yaml (tools.without: [{second}/{tool}]), or disable "
        "one of the servers in mcp_config.json.",
    )


def late(server: str, tool: str, timeout_s: float) -> ToolServerError:
    """A call that was not answered in time."""
    return ToolServerError(
        f"The tool server '{server}' did not answer a call of {tool!r} within {timeout_s:g} s.",
        next_step="see why it is slow, or raise tools.timeout_s of the pipeline.",
    )


def broken_list(server: str, problem: str) -> ToolServerError:
    """A list of tools of which not one can be read."""
    return ToolServerError(
        f"The tool server '{server}' lists its tools in a way that cannot be read: {problem}.",
        next_step=f"correct the server, or disable '{server}' in mcp_config.json.",
    )


def nothing_left(
    server: str, reasons: Mapping[str, str], *, allow: str | None = None
) -> ToolServerError:
    """A server none of whose tools can be used.

    Args:
        reasons: by the name of the tool.
        allow: the line of defs.yaml that says of some that they only read; None where that is not
            what is missing.
    """
    named = [f"{name!r}: {reason}" for name, reason in list(reasons.items())[:_MOST_NAMED]]
    more = len(reasons) - len(named)
    correct = (
        "correct the server or tools.only and tools.without in defs.yaml"
        if allow is None
        else f"name those that only read in defs.yaml, as in `{allow}`"
    )
    return ToolServerError(
        f"None of the tools that the server '{server}' lists can be used ("
        f"{'; '.join(named)}{f'; and {more} more' if more else ''}).",
        next_step=f"{correct}, or disable '{server}' in mcp_config.json.",
    )


def unreachable(
    name: str, server: ServerConfig, error: Exception, log_dir: Path | None, secrets: Secrets
) -> ToolServerError:
    """A server that does not start, does not answer at its url, or ends before it listed its
    tools.
    """
    reason = _first_line(error, secrets)
    if server.command is None:
        place = secrets.hidden(_place(server))
        return ToolServerError(
            f"The tool server '{name}' cannot be used ({place}): {reason}.",
            next_step="start it, or correct its url in mcp_config.json.",
        )
    log = "" if log_dir is None else f" Its standard error is in {log_path(name, log_dir)}."
    return ToolServerError(
        f"The tool server '{name}' did not start ({secrets.hidden(server.command)}): "
        f"{reason}.{log}",
        next_step=f"run its command by hand, and correct '{name}' in mcp_config.json.",
    )


def no_api(name: str, problem: str) -> ToolServerError:
    """An HTTP API that cannot be made into tools."""
    return ToolServerError(
        f"The HTTP API '{name}' cannot be used: {problem}.",
        next_step=f"correct '{name}' in mcp_config.json, or the API.",
    )


def too_many_tools(name: str, count: int, most: int) -> ToolServerError:
    """An HTTP API with more operations than a model should choose from."""
    return ToolServerError(
        f"The HTTP API '{name}' has {count} operations that would be tools; at most {most} are "
        "taken, since a model reads all of them with every question.",
        next_step=f"choose in mcp_config.json with 'include' or 'exclude' of '{name}', or in "
        "defs.yaml with tools.only (`agent-assets mcp list` lists them), or raise 'max_tools'.",
    )


def stopped(server: str, tool: str) -> ToolServerError:
    """A server that died during a call."""
    return ToolServerError(
        f"The tool server '{server}' stopped during a call of {tool!r}.",
        next_step="see its log, then run this step again.",
    )


def _place(server: ServerConfig) -> str:
    """Host and path of a server: its url may hold a password or a token."""
    url = httpx2.URL(server.url or "")
    return f"{url.scheme}://{url.host}{'' if url.port is None else f':{url.port}'}{url.path}"


def _first_line(error: Exception, secrets: Secrets) -> str:
    """Why a connection failed, without urls and keys. No tool has been called by then, so no
    memory text can be in it.
    """
    if isinstance(error, MCPError) and error.code == CONNECTION_CLOSED:
        return "it ended at once"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].removeprefix("Client failed to connect: ")
    return re.sub(r"https?://[^ ]+", "its url", secrets.hidden(line))[:300]
