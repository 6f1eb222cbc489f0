"""The tool server of `two_doors` as a real MCP server over stdio: python doors_server.py CALLS.

Appends the name of every tool that is called to the file CALLS.
"""

import sys
from pathlib import Path

from fastmcp import FastMCP

server: FastMCP[None] = FastMCP("doors")


@server.tool
def left() -> str:
    """Opens the left door."""
    return opened("left")


@server.tool
def right() -> str:
    """Opens the right door."""
    return opened("right")


def opened(door: str) -> str:
    with Path(sys.argv[1]).open("a", encoding="utf-8") as calls:
        calls.write(f"{door}\n")
    return "open"


if __name__ == "__main__":
    server.run(show_banner=False)
