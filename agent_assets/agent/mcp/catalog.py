"""What the MCP servers of a pipeline offer, tool by tool: which of them a model can be given, by
which name, and why not the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mcp_types import Tool, ToolAnnotations

from agent_assets.agent.mcp.choice import EVERY_TOOL, ToolChoice
from agent_assets.agent.mcp.permissions import (
    ANY_CALL,
    SILENT,
    ToolPermissions,
    plainly_reads,
)
from agent_assets.agent.mcp.session import UnreadableTool
from agent_assets.conversations.messages import ToolSchema
from agent_assets.conversations.tool_names import aliases
from agent_assets.conversations.tools import check_schema, normalise_schema


@dataclass(frozen=True)
class ListedTool:
    """One tool of one server.

    Args:
        server: its name in mcp_config.json.
        name: what the server calls it.
        alias: what models call it; `name` wherever model servers take that.
        problem: why it cannot be used by anybody; None where it can.
        schema: as a model reads it; None where the protocol does not allow the entry.
        annotations: what the server says of it, None where it says nothing.
        not_chosen: why the pipeline's choice leaves it out; None where it takes it.
        reads_only: whether it only reads, as its server or the pipeline says.
        forbidden: why it may not be called; None where it may.
    """

    server: str
    name: str
    alias: str
    problem: str | None
    schema: ToolSchema | None
    annotations: ToolAnnotations | None = None
    not_chosen: str | None = None
    reads_only: bool = False
    forbidden: str | None = None

    @property
    def reason(self) -> str | None:
        """Why models are not given it; None where they are."""
        return self.problem or self.not_chosen or self.forbidden

    @property
    def usable(self) -> bool:
        """Whether models are given it."""
        return self.reason is None

    @property
    def proposed(self) -> bool:
        """Whether it is left out for want of a word that it only reads, and plainly does."""
        return (
            self.problem is None
            and self.not_chosen is None
            and self.forbidden == SILENT
            and self.schema is not None
            and plainly_reads(self.name, self.schema.description)
        )

    @property
    def names(self) -> frozenset[str]:
        """What a choice may call it: as its server or models do, alone or as `server/name`."""
        names = {self.name, self.alias}
        return frozenset(names | {f"{self.server}/{name}" for name in names})


def listed_tools(
    server: str, tools: Iterable[Tool], unreadable: Iterable[UnreadableTool] = ()
) -> list[ListedTool]:
    """What one server offers, in its order; entries that repeat others once."""
    unique: dict[str, Tool] = {}
    repeated = []
    for tool in tools:
        if unique.setdefault(tool.name, tool) != tool:
            repeated.append(ListedTool(server, tool.name, tool.name, "listed twice", None))
    return [
        *(_listed(server, tool) for tool in unique.values()),
        *repeated,
        *(ListedTool(server, tool.name, tool.name, tool.reason, None) for tool in unreadable),
    ]


def catalog(
    listed: Iterable[ListedTool],
    choice: ToolChoice = EVERY_TOOL,
    permissions: ToolPermissions = ANY_CALL,
) -> list[ListedTool]:
    """All servers' tools with the names models call them by, those left out that `choice` leaves
    out or that may not be called.

    Raises:
        ConfigError: the choice names a tool that there is not.
    """
    entries = list(listed)
    names = aliases(tool.name for tool in entries if tool.schema is not None)
    named = [_named(tool, names.get(tool.name, tool.name)) for tool in entries]
    choice.check({name for tool in named for name in tool.names})
    return [
        replace(
            tool,
            not_chosen=choice.reason(tool.names),
            reads_only=permissions.reads_only(tool.names, tool.annotations),
            forbidden=permissions.reason(tool.names, tool.annotations),
        )
        for tool in named
    ]


def used_twice(tools: Sequence[ListedTool]) -> tuple[ListedTool, ListedTool] | None:
    """Two usable tools of different servers with one name; None where there are none."""
    first: dict[str, ListedTool] = {}
    for tool in tools:
        if tool.usable and first.setdefault(tool.alias, tool) is not tool:
            return first[tool.alias], tool
    return None


def _listed(server: str, tool: Tool) -> ListedTool:
    schema = ToolSchema(
        tool.name, (tool.description or "").strip(), normalise_schema(tool.input_schema)
    )
    return ListedTool(server, tool.name, tool.name, None, schema, tool.annotations)


def _named(tool: ListedTool, alias: str) -> ListedTool:
    if tool.schema is None:
        return tool
    schema = replace(tool.schema, name=alias)
    problem = "; ".join(check_schema(schema)) if tool.name else "it has no name"
    return replace(tool, alias=alias, schema=schema, problem=tool.problem or problem or None)
