"""Stage `train_jsonl`: rows to train on and items to be judged by, every one executed on the real servers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_assets.pipeline.stage import Check, PipelineSpec, Product, Source, Stage, StageRun
from agent_assets.pipeline.tools import open_tools, read_tools, servers_version
from agent_assets.store.manifest import CheckEntry


def config(pipeline: PipelineSpec) -> Mapping[str, Any]:
    """What the rows depend on: their configuration, the wordings file, the servers that answered."""
    wordings = pipeline.config.questions.wordings
    return pipeline.config.train_jsonl.model_dump() | {
        "system_prompt": pipeline.config.system_prompt,
        "wordings_sha256": None if wordings is None else pipeline.file_hash(wordings),
        "mcp_config": servers_version(pipeline),
    }


def produce(run: StageRun, source: Source, folder: Path) -> Product:
    """Write train.jsonl, heldout.jsonl, rejects.jsonl and coverage.json."""
    from agent_assets.evaluation.plots import coverage_bars
    from agent_assets.synthesis.rows import make_rows

    memories = run.path("elder_memories") if "elder_memories" in run.inputs else None

    async def synthesize() -> dict[str, Any]:
        async with open_tools(run.pipeline, memories=memories, log_dir=run.engines.logs) as toolbox:
            wordings = run.config.questions.wordings
            return await make_rows(
                folder,
                questions_folder=run.path("questions"),
                tools=read_tools(run.path("mcp_tool_schema")),
                toolbox=toolbox,
                memories_folder=memories,
                config=run.config.train_jsonl,
                system_prompt=run.config.system_prompt,
                wordings=None if wordings is None else run.pipeline.file(wordings),
            )

    summary = asyncio.run(synthesize())
    (folder / "plots").mkdir()
    (folder / "plots" / "coverage.png").write_bytes(coverage_bars(summary["calls_by_tool"]))
    return Product(
        summary=summary,
        checks=[
            CheckEntry(
                name="rows_valid",
                passed=summary["rows"] > 0,
                description=f"{summary['rows']} rows kept, {summary['rejected']} rejected",
            )
        ],
    )


STAGE = Stage(
    name="train_jsonl",
    description="Training rows (train.jsonl), held-out items (heldout.jsonl) and rejected rows with their reason "
    "(rejects.jsonl). Every tool call was executed on the real server.",
    deps=("mcp_tool_schema", "questions", "elder_memories"),
    kinds=frozenset({"python", "mcp"}),
    code_version="3",
    config=config,
    produce=produce,
    checks=(Check("rows_valid", "There are rows, and every one of them passed validation."),),
)
