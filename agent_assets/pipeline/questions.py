"""Stage `questions`: what is asked to make training data, split into training and held-out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_assets.pipeline.stage import Check, PipelineSpec, Product, Source, Stage, StageRun
from agent_assets.pipeline.tools import read_tools
from agent_assets.store.manifest import CheckEntry


def config(pipeline: PipelineSpec) -> Mapping[str, Any]:
    """What the questions depend on: their configuration and the wordings file."""
    settings = pipeline.config.questions
    wordings = None if settings.wordings is None else pipeline.file_hash(settings.wordings)
    return settings.model_dump() | {"wordings_sha256": wordings}


def produce(run: StageRun, source: Source, folder: Path) -> Product:
    """Write questions.txt and questions.jsonl."""
    from agent_assets.synthesis.questions import make_questions

    settings = run.config.questions
    summary = make_questions(
        folder,
        tools=read_tools(run.path("mcp_tool_schema")),
        config=settings,
        wordings=None if settings.wordings is None else run.pipeline.file(settings.wordings),
    )
    return Product(summary=summary, checks=[CheckEntry(name="questions_valid", passed=summary["questions"] > 0)])


STAGE = Stage(
    name="questions",
    description="Questions that the tools can answer (and some they cannot), each with its training or held-out split. "
    "Shared by all elders: a new elder never rebuilds them.",
    deps=("mcp_tool_schema",),
    kinds=frozenset({"python", "text"}),
    code_version="1",
    config=config,
    produce=produce,
    checks=(Check("questions_valid", "There are questions, and no two are the same."),),
    partitioned=False,
)
