"""Stage `mcp_tool_schema`: a canonical snapshot of what the MCP servers offer."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    SourceContext,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.pipeline.stages.tools import read_artifact_tools
from agent_assets.store.manifest import CheckEntry

SCHEMA_FILE = "tool_schema.json"


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the snapshot depends on besides the servers themselves."""
    return {"mcp_config": pipeline.tool_servers.version}


def read_source(run: SourceContext) -> Source:
    """Ask every server for its tools."""
    from agent_assets.conversations.tools import schema_snapshot

    async def snapshot() -> str:
        async with run.pipeline.tool_servers.open(memories=None, log_dir=run.logs) as toolbox:
            return schema_snapshot(toolbox.tools)

    text = asyncio.run(snapshot())
    return Source(versions={"servers": sha256(text.encode()).hexdigest()[:32]}, data=text)


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write the snapshot."""
    from agent_assets.conversations.tools import check_schema

    (folder / SCHEMA_FILE).write_text(source.data, encoding="utf-8")
    tools = read_artifact_tools(folder)
    problems = {tool.name: check_schema(tool) for tool in tools}
    broken = {name: tool_problems for name, tool_problems in problems.items() if tool_problems}
    return StageResult(
        summary={"tools": [tool.name for tool in tools], "tool_count": len(tools)},
        checks=[
            CheckEntry(
                name="schema_valid",
                passed=bool(tools) and not broken,
                description=json.dumps(broken) if broken else f"{len(tools)} tools",
            )
        ],
    )


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
        Check("schema_valid", "Every tool has a valid JSON Schema, and there is at least one."),
    ),
    partitioned=False,
)
