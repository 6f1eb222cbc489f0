"""An MCP server that calculates: one tool that only reads, one that changes something, one that
destroys.

Run: python numbers_server.py LOG [DEADLY]
Every call is a line of LOG. A call with the number DEADLY ends the process, as often as it is made.
"""

import os
import sys
from pathlib import Path

from fastmcp import FastMCP
from mcp.types import ToolAnnotations

LOG = Path(sys.argv[1])
DEADLY = sys.argv[2] if len(sys.argv) > 2 else ""
server: FastMCP[None] = FastMCP("numbers")


def note(name: str, number: int) -> None:
    with LOG.open("a", encoding="utf-8") as file:
        file.write(f"{name} {number}\n")
    if str(number) == DEADLY:
        os._exit(1)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def double(number: int) -> int:
    """Twice a number."""
    note("double", number)
    return 2 * number


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def forget(number: int) -> str:
    """Forget a number forever."""
    note("forget", number)
    return "forgotten"


@server.resource("numbers://help")
def help_text() -> str:
    """What the server knows."""
    return "Only whole numbers up to 999."


if __name__ == "__main__":
    server.run("stdio", show_banner=False, log_level="WARNING")
