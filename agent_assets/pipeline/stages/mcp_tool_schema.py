"""Stage `mcp_tool_schema`: a canonical snapshot of what the MCP servers offer."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from agent_assets.errors import ToolServerError
from agent_assets.pipeline.artifact_tools import read_artifact_tools
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    SourceContext,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.store.manifest import CheckEntry

SCHEMA_FILE = "tool_schema.json"


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the snapshot depends on besides the servers themselves."""
    tools = pipeline.config.tools
    chosen = {
        "only": tools.only,
        "without": tools.without or None,
        "read_only": tools.read_only or None,
        "allow_writing": tools.allow_writing or None,
    }
    return {"mcp_config": pipeline.tool_servers.version} | {
        key: names for key, names in chosen.items() if names is not None
    }


def read_source(run: SourceContext) -> Source:
    """Ask every server for its tools.

    Raises:
        ToolServerError: a server cannot be used, or there is not one tool.
    """
    from agent_assets.conversations.tools import schema_snapshot

    async def ask() -> tuple[str, dict[str, str]]:
        async with run.pipeline.tool_servers.open(memories=None, log_dir=run.logs) as toolbox:
            if not toolbox.tools:
                raise ToolServerError(
                    f"The tool servers of {run.config.name} list no tools.",
                    next_step="enable a server with tools in mcp_config.json.",
                )
            return schema_snapshot(toolbox.tools), toolbox.unusable

    text, unusable = asyncio.run(ask())
    versions = {"servers": _digest(text)}
    if unusable:
        versions["unusable"] = _digest(json.dumps(unusable, sort_keys=True))
    return Source(versions=versions, data=text, set_aside=unusable)


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write the snapshot."""
    (folder / SCHEMA_FILE).write_text(source.data, encoding="utf-8")
    tools = read_artifact_tools(folder)
    left_out = [f"{name}: {reason}" for name, reason in sorted(source.set_aside.items())]
    return StageResult(
        summary={"tools": [tool.name for tool in tools], "tool_count": len(tools)},
        checks=[
            CheckEntry(
                name="schema_valid",
                passed=not left_out,
                blocking=False,
                description=f"{len(tools)} tools"
                + (f"; {len(left_out)} left out: {'; '.join(left_out)}" if left_out else ""),
            )
        ],
    )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


STAGE = Stage(
    name="mcp_tool_schema",
    description="Snapshot of every tool the MCP servers offer: name, description, JSON Schema of "
    "the arguments. "
    "Canonical, so two snapshots can be compared with diff.",
    deps=(),
    kinds=frozenset({"mcp", "json"}),
    code_version="1",
    config=config,
    read_source=read_source,
    build=build,
    checks=(
        Check(
            "schema_valid",
            "Every tool of the servers can be used; those that cannot are named, and left out.",
            blocking=False,
        ),
    ),
    partitioned=False,
)
