"""The tools of a server, page by page."""

import logging

from fastmcp import Client
from fastmcp.client.transports import ClientTransport
from mcp_types import Tool

_log = logging.getLogger(__name__)


async def list_pages(server: str, client: Client[ClientTransport]) -> list[Tool]:
    """Every tool a server lists, each once. A page or a cursor that came before ends the list: the
    cursor does not advance.
    """
    tools: list[Tool] = []
    cursors: set[str] = set()
    cursor: str | None = None
    while True:
        page = await client.list_tools_mcp(cursor=cursor)
        new = [tool for tool in page.tools if tool not in tools]
        tools += new
        cursor = page.next_cursor
        if cursor is None:
            return tools
        if cursor in cursors or (page.tools and not new):
            _log.warning("tool server %s lists a page of its tools again", server)
            return tools
        cursors.add(cursor)
