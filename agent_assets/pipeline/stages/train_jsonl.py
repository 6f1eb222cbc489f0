"""Stage `train_jsonl`: rows to train on and items to be judged by, every one executed on the real
servers; rows of one's own where their tools only read.
"""

import asyncio
import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import JsonObject, read_json_lines
from agent_assets.errors import ToolServerError
from agent_assets.pipeline.artifact_tools import read_artifact_tools
from agent_assets.pipeline.resume import resume_folder
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    SourceContext,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.pipeline.teacher import SCRIPTED, llm_client, teacher_identity
from agent_assets.store.manifest import CheckEntry

if TYPE_CHECKING:
    from agent_assets.reviews.decisions import Decisions
    from agent_assets.synthesis.teachers.run import LlmTeaching

# of dying tool servers in one materialization, with a language model as the teacher
TOOL_RESTARTS = 4


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the rows depend on: their configuration, the wordings file, the servers that
    answered.
    """
    settings = pipeline.config.train_jsonl
    general = None if settings.mix is None else settings.mix.general_rows
    return settings.fingerprint_settings() | {
        "teacher": teacher_identity(settings.teacher, pipeline.config.llm),
        "general_sha256": pipeline.hash_of(general),
        "system_prompt": pipeline.config.system_prompt,
        "wordings_sha256": pipeline.hash_of(pipeline.config.questions.wordings),
        "mcp_config": pipeline.tool_servers.version,
        **({"read_only": read_only} if (read_only := pipeline.config.tools.read_only) else {}),
        **_own_files(pipeline),
    }


def _own_files(pipeline: PipelineSpec) -> dict[str, object]:
    """What the files of `sources` hold, by name."""
    from agent_assets.synthesis.rows.own_files import own_rows_version

    names = pipeline.config.train_jsonl.sources
    versions = {name: own_rows_version(pipeline.file(name)) for name in names}
    return {"source_files": versions} if versions else {}


def read_source(run: SourceContext) -> Source:
    """What reviewers decided about turns of this elder; no version where they did not, so that
    nothing becomes stale.
    """
    from agent_assets.reviews.decisions import decisions_of, decisions_version

    decisions = decisions_of(run.mongo.db, run.partition or run.config.name)
    return Source({"reviews": decisions_version(decisions)} if decisions else {}, decisions)


def has_reviews(pipeline: PipelineSpec) -> bool:
    """Elders' rows are reviewed by their families; of others nobody needs MongoDB."""
    return pipeline.partitioned


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write train.jsonl, heldout.jsonl, rejects.jsonl and coverage.json."""
    from agent_assets.evaluation.pages.plots import coverage_bars

    by_llm = teacher_identity(run.config.train_jsonl.teacher, run.config.llm) != SCRIPTED
    # Of the scripted teacher, train.jsonl is the trace
    with run.traced() if by_llm else nullcontext():
        summary = asyncio.run(_synthesize(run, source.data or {}, folder))
    summary |= _write_report(run, folder)
    (folder / "plots").mkdir()
    (folder / "plots" / "coverage.png").write_bytes(coverage_bars(summary["calls_by_tool"]))
    return StageResult(
        summary=summary,
        checks=[
            CheckEntry(
                name="rows_valid",
                passed=summary["rows"] > 0,
                description=f"{summary['rows']} rows kept, {summary['rejected']} rejected",
            ),
            CheckEntry(
                name="coverage",
                passed=not summary["below_floor"],
                description=_coverage(summary, run.config.train_jsonl.min_calls_per_tool),
            ),
            _mix_check(run, summary),
        ],
        version_suffixes=(".jsonl", ".json"),  # the report describes the rows
    )


async def _synthesize(run: StageRun, decisions: "Decisions", folder: Path) -> JsonObject:
    """Rows by the teacher of this pipeline. Only a language model's work is kept across restarts:
    it was paid for.
    """
    from agent_assets.synthesis.teachers.journal import Journal
    from agent_assets.synthesis.teachers.run import LlmTeaching

    teacher = dict(teacher_identity(run.config.train_jsonl.teacher, run.config.llm))
    client = llm_client(run, run.config.train_jsonl.teacher)
    if client is None:
        return await _make_rows(run, decisions, folder, None) | {"teacher": teacher}
    work = resume_folder(folder)
    work.mkdir(exist_ok=True)
    resumed = 0
    async with client:
        for restarts in range(TOOL_RESTARTS + 1):
            journal = Journal(work / "journal.jsonl")
            resumed = resumed if restarts else len(journal)
            try:
                summary = await _make_rows(run, decisions, folder, LlmTeaching(client, journal))
                break
            except ToolServerError as error:
                if restarts == TOOL_RESTARTS:
                    raise
                run.context.log.warning(
                    "%s Starting it again; what is finished is kept.", error.message
                )
    shutil.rmtree(work)
    return summary | {
        "teacher": teacher,
        "resumed_questions": resumed,
        "llm": client.spending.summary(),
    }


async def _make_rows(
    run: StageRun, decisions: "Decisions", folder: Path, llm: "LlmTeaching | None"
) -> JsonObject:
    from agent_assets.synthesis.build import make_rows

    settings = run.config.train_jsonl
    general = None if settings.mix is None else settings.mix.general_rows
    async with run.pipeline.tool_servers.open(memories=run.memories, log_dir=run.logs) as toolbox:
        return await make_rows(
            folder,
            questions_folder=run.path("questions"),
            tools=read_artifact_tools(run.path("mcp_tool_schema")),
            toolbox=toolbox,
            memories_folder=run.memories,
            config=settings,
            system_prompt=run.config.system_prompt,
            templates_file=run.pipeline.path_of(run.config.questions.wordings),
            llm=llm,
            general=run.pipeline.path_of(general),
            sources=[run.pipeline.file(name) for name in settings.sources],
            decisions=decisions,
        )


def _coverage(summary: JsonObject, floor: int) -> str:
    """What the check `coverage` says."""
    needs = "".join(
        f"; {name}: give values for {', '.join(need['parameters'])}"
        for name, need in summary["needs_values"].items()
        if need["parameters"]
    )
    if summary["below_floor"]:
        return "calls below the floor: " + json.dumps(summary["below_floor"]) + needs
    return f"every tool that can be asked about has {floor} calls{needs}"


def _mix_check(run: StageRun, summary: JsonObject) -> CheckEntry:
    config = run.config.train_jsonl.mix
    if config is None:
        return CheckEntry(name="mix", passed=True, description="no mix is configured")
    farthest = summary["mix_farthest"]
    words = (
        f"farthest from its share: {farthest:.1%}, {config.tolerance:.1%} "
        "allowed; "
        f"{json.dumps(summary['mix'])}"
    )
    return CheckEntry(name="mix", passed=farthest <= config.tolerance, description=words)


def _write_report(run: StageRun, folder: Path) -> dict[str, object]:
    """Write report.html; returns the lengths in tokens, which only the base model's own tokenizer
    can tell.

    The base model is not an input: rows do not depend on it. A report made before there is one says
    so, without lengths.
    """
    from agent_assets.conversations.rendering.rendered import RowRenderer
    from agent_assets.evaluation.pages.data_report import data_report, lengths_of, render_rows

    rows, rejects = (read_json_lines(folder / name) for name in ("train.jsonl", "rejects.jsonl"))
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
    return (
        lengths_of(rendered).summary()
        if rendered
        else {"tokens": "not counted: there is no base model yet"}
    )


STAGE = Stage(
    name="train_jsonl",
    description="Training rows (train.jsonl), held-out items (heldout.jsonl) and rejected rows "
    "with their reason "
    "(rejects.jsonl), with a report. Every tool call was executed on the real server.",
    deps=("mcp_tool_schema", "questions", "elder_memories"),
    kinds=frozenset({"python", "mcp"}),
    code_version="11",
    config=config,
    build=build,
    read_source=read_source,
    has_source=has_reviews,
    checks=(
        Check("rows_valid", "There are rows, and every one of them passed validation."),
        Check("coverage", "Every tool that can be asked about has enough calls.", blocking=False),
        Check(
            "mix",
            "Shares of persona, tools, abstention and general rows are as configured.",
            blocking=False,
        ),
    ),
)
