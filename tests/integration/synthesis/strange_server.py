"""An MCP server that nobody wrote wordings for: odd schemas, and tools whose rows must be refused.

Run: python strange_server.py
"""

import itertools
from enum import Enum
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field


class Unit(Enum):
    """A nested enum: a `$ref` in the schema."""

    METRE = "metre"
    MILE = "mile"


class Place(BaseModel):
    """A nested object with an optional part."""

    city: Annotated[str, Field(examples=["Bonn", "Ulm", "Kiel", "Jena"])]
    floor: int | None = None


server: FastMCP[None] = FastMCP("strange")
ticks = itertools.count()
READ_ONLY = ToolAnnotations(read_only_hint=True)


@server.tool(name="import", annotations=READ_ONLY)
def import_(lines: Annotated[int, Field(ge=1, le=500)], fast: bool = False) -> dict[str, Any]:
    """Import lines. Named like a Python keyword."""
    return {"imported": lines, "fast": fast}


@server.tool(annotations=READ_ONLY)
def distance(
    start: Place, end: Place, unit: Unit = Unit.METRE, via: list[Place] | None = None
) -> str:
    """Distance between two places."""
    return f"{len(start.city) * 100 + len(end.city)} {unit.value}"


@server.tool(annotations=READ_ONLY)
def ticket() -> int:
    """Draw the next ticket: never the same twice."""
    return next(ticks)


@server.tool(annotations=READ_ONLY)
def refuse(level: Annotated[int, Field(ge=1, le=900)]) -> str:
    """Refuse at any level."""
    raise ToolError("not today")


@server.tool(annotations=READ_ONLY)
def unlock(code: Annotated[str, Field(pattern="^[A-Z]{3}-[0-9]{4}$")]) -> str:
    """Unlock with a code that has a form."""
    return code


if __name__ == "__main__":
    server.run("stdio", show_banner=False, log_level="WARNING")
