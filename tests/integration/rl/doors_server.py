"""The tool server of `two_doors` as a real MCP server over stdio."""

from fastmcp import FastMCP

server: FastMCP[None] = FastMCP("doors")


@server.tool
def left() -> str:
    """Opens the left door."""
    return "open"


@server.tool
def right() -> str:
    """Opens the right door."""
    return "open"


if __name__ == "__main__":
    server.run(show_banner=False)
