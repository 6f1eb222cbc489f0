"""Stage `train_jsonl`: rows to train on and items to be judged by, every one executed on the real servers."""

import asyncio
import json
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

    summary = asyncio.run(synthesize()) | _write_report(run, folder)
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
        version_suffixes=(".jsonl", ".json"),  # the report describes the rows
    )


def _write_report(run: StageRun, folder: Path) -> dict[str, Any]:
    """Write report.html; returns the lengths in tokens, which only the base model's own tokenizer can tell.

    The base model is no input: rows do not depend on it. A report made before there is one says so, without lengths.
    """
    from agent_assets.evaluation.data_report import data_report, lengths_of, render_rows
    from agent_assets.synthesis.rendered import RowRenderer

    rows, rejects = (
        [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for name in ("train.jsonl", "rejects.jsonl")
    )
    model = run.latest("base_model")
    rendered = [] if model is None else render_rows(rows, RowRenderer(model.path))
    page = data_report(
        "/".join(filter(None, (run.config.name, run.partition))),
        rows,
        rejects,
        json.loads((folder / "coverage.json").read_text(encoding="utf-8")),
        rendered,
        model="" if model is None else f"base_model {model.manifest.data_version[:12]}",
        max_length=run.config.sft_adapter.max_length,
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    return lengths_of(rendered).summary() if rendered else {"tokens": "not counted: there is no base model yet"}


STAGE = Stage(
    name="train_jsonl",
    description="Training rows (train.jsonl), held-out items (heldout.jsonl) and rejected rows with their reason "
    "(rejects.jsonl), with a report. Every tool call was executed on the real server.",
    deps=("mcp_tool_schema", "questions", "elder_memories"),
    kinds=frozenset({"python", "mcp"}),
    code_version="3",
    config=config,
    produce=produce,
    checks=(Check("rows_valid", "There are rows, and every one of them passed validation."),),
)
