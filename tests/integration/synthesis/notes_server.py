"""A server that says of one tool that it only reads, of one that it changes things, and of two
nothing: `python notes_server.py LOG`. Names of called tools are appended to LOG.
"""

import sys
from pathlib import Path

from fastmcp import FastMCP
from mcp.types import ToolAnnotations

server: FastMCP[None] = FastMCP("notes")


def note(name: str) -> None:
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        log.write(name + "\n")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def count_words(number: int) -> str:
    """How many words note number 1 to 9 has."""
    note("count_words")
    return f"{number * 7} words"


@server.tool
def search_notes(page: int) -> str:
    """Search the notes created last week, page by page."""
    note("search_notes")
    return f"note {page}"


@server.tool
def purge_all_notes(number: int) -> str:
    """Deletes every note for good."""
    note("purge_all_notes")
    return "gone"


@server.tool(annotations=ToolAnnotations(read_only_hint=False))
def send_mail(number: int) -> str:
    """Send a mail."""
    note("send_mail")
    return f"sent {number}"


if __name__ == "__main__":
    server.run("stdio", show_banner=False, log_level="WARNING")
