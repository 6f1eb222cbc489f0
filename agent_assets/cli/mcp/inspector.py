"""`agent-assets mcp inspect`: the official MCP inspector on one server of an mcp_config.json."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent_assets.cli.mcp.servers import config_of
from agent_assets.errors import ConfigError
from agent_assets.settings import whole_environment

if TYPE_CHECKING:
    from agent_assets.agent.mcp.config import ServerConfig

PROGRAM = "mcp-inspector"
PACKAGE = "@modelcontextprotocol/inspector@2.12.0"  # reads a file of one session, as of version 2
_MODES = ("--web", "--cli", "--tui")
_TYPES = {"stdio": "stdio", "sse": "sse", "http": "streamable-http"}


def run_inspector(file: Path, name: str, options: Sequence[str]) -> int:
    """Run the inspector until it ends; returns its exit code.

    Keys that stand in the configuration are handed over in a file that only this user can read,
    and that goes with the inspector.

    Args:
        options: the inspector's own.

    Raises:
        ConfigError: the file is wrong, has no such server, or Node.js is not installed.
    """
    servers = config_of(file).servers
    if name not in servers:
        raise ConfigError(
            f"{file} has no enabled server {name!r}.",
            next_step=f"name one of {', '.join(servers)}.",
        )
    modes = [option for option in options if option in _MODES]
    others = [option for option in options if option not in _MODES]
    with TemporaryDirectory(prefix="agent-assets-inspector-") as folder:  # mode 700
        session = Path(folder) / "mcp.json"
        session.write_text(
            json.dumps({"mcpServers": {name: entry(servers[name])}}), encoding="utf-8"
        )
        command = [*_program(), *modes, "--config", str(session), "--server", name, *others]
        # Otherwise it would write keys into the keychain of the desktop.
        environment = {"MCP_INSPECTOR_SECRET_STORE": "memory", **whole_environment()}
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except KeyboardInterrupt:  # it got the signal, too, and has ended
            return 130


def entry(server: "ServerConfig") -> dict[str, object]:
    """A server as the inspector reads it."""
    values = {
        "type": _TYPES[server.way],
        "command": server.command,
        "args": server.args,
        "env": server.env,
        "cwd": server.cwd,
        "url": server.url,
        "headers": server.headers,
    }
    return {key: value for key, value in values.items() if value}


def _program() -> list[str]:
    """The inspector that is installed, or npx, which fetches it."""
    if (installed := shutil.which(PROGRAM)) is not None:
        return [installed]
    if (npx := shutil.which("npx")) is not None:
        return [npx, "--yes", PACKAGE]
    raise ConfigError(
        "The MCP inspector needs Node.js, and there is no npx on PATH.",
        next_step="install Node.js 22.19 or later (https://nodejs.org), or use `agent-assets mcp "
        "list` and `agent-assets mcp call`, which do without.",
    )
