"""Stage `questions`: what is asked to make training data, split into training and held-out."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import JsonObject
from agent_assets.errors import ConfigError
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
from agent_assets.pipeline.teacher import SCRIPTED, llm_client, teacher_identity
from agent_assets.store.manifest import CheckEntry

if TYPE_CHECKING:
    from agent_assets.synthesis.questions.chained import ChainedValues
    from agent_assets.synthesis.questions.llm import LlmQuestions

MAX_MATERIAL_CHARS = 60_000  # of the source file, and of each resource


@dataclass(frozen=True)
class AskedFrom:
    """What questions are made from besides the tools; None where it is not asked for.

    Args:
        questionnaire: questions of the collection in MongoDB.
        resources: text resources of the MCP servers by name.
        chained: values that tools gave, where the wordings take them from tools.
    """

    questionnaire: Sequence[str] | None = None
    resources: Mapping[str, str] | None = None
    chained: "ChainedValues | None" = None


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the questions depend on: their configuration, the teacher, the wordings and the source
    file.
    """
    settings = pipeline.config.questions
    return settings.fingerprint_settings() | {
        "teacher": teacher_identity(settings.teacher, pipeline.config.llm),
        "wordings_sha256": pipeline.hash_of(settings.wordings),
        "source_sha256": pipeline.hash_of(settings.source_file),
    }


def has_source(pipeline: PipelineSpec) -> bool:
    """Whether the questions depend on something outside the graph: most do not, and are never
    looked at twice.
    """
    settings = pipeline.config.questions
    return settings.questionnaire or settings.resources or _is_chained(pipeline)


def read_source(run: SourceContext) -> Source:
    """The questionnaire in MongoDB and the servers' resources, where they are asked for."""
    settings = run.config.questions
    data = AskedFrom()
    if settings.questionnaire:
        from agent_assets.mongo.reader import read_questionnaire

        data = replace(
            data, questionnaire=read_questionnaire(run.mongo.db, run.config.elder_memories.layout)
        )
    by_llm = teacher_identity(settings.teacher, run.config.llm) != SCRIPTED
    if settings.resources and by_llm:
        data = replace(data, resources=asyncio.run(_resources(run)))
    if _is_chained(run.pipeline):
        data = replace(data, chained=asyncio.run(_chained(run)))
    read = {name: value for name, value in vars(data).items() if value is not None}
    texts = {
        name: json.dumps(value, sort_keys=True, ensure_ascii=False, default=vars)
        for name, value in read.items()
    }
    return Source(
        {name: sha256(text.encode()).hexdigest()[:32] for name, text in texts.items()}, data
    )


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write questions.jsonl, questions.txt and questions.<language>.json."""
    from agent_assets.synthesis.questions.questions import make_questions

    settings = run.config.questions
    data: AskedFrom = source.data or AskedFrom()
    llm_questions, spent = _ask(run, data)
    summary = make_questions(
        folder,
        tools=read_artifact_tools(run.path("mcp_tool_schema")),
        config=settings,
        templates_file=run.pipeline.path_of(settings.wordings),
        llm_questions=llm_questions,
        questionnaire=data.questionnaire or (),
        chained=data.chained,
    )
    return StageResult(
        summary=summary
        | {"teacher": dict(teacher_identity(settings.teacher, run.config.llm)), **spent},
        checks=[CheckEntry(name="questions_valid", passed=summary["questions"] > 0)],
    )


def _ask(run: StageRun, data: AskedFrom) -> "tuple[LlmQuestions | None, JsonObject]":
    """A language model's questions and what they cost; none and nothing with the scripted
    teacher.
    """
    settings = run.config.questions
    client = llm_client(run, settings.teacher)
    if client is None:
        return None, {}
    from agent_assets.synthesis.questions.llm import Material
    from agent_assets.synthesis.questions.questions import ask_llm

    material = Material(_source_text(run), data.resources or {})

    async def ask() -> "LlmQuestions":
        async with client:
            return await ask_llm(
                client,
                tools=read_artifact_tools(run.path("mcp_tool_schema")),
                config=settings,
                templates_file=run.pipeline.path_of(settings.wordings),
                material=material,
            )

    with run.traced():
        llm_questions = asyncio.run(ask())
    return llm_questions, {"llm": client.spending.summary()}


async def _resources(run: SourceContext) -> dict[str, str]:
    async with run.pipeline.tool_servers.open(memories=None, log_dir=run.logs) as toolbox:
        return await toolbox.resources(max_chars=MAX_MATERIAL_CHARS)


def _is_chained(pipeline: PipelineSpec) -> bool:
    """Whether the wordings take values from tools. A file that cannot be read is for `build` to
    report.
    """
    path = pipeline.path_of(pipeline.config.questions.wordings)
    return path is not None and path.exists() and b"from_tool" in path.read_bytes()


async def _chained(run: SourceContext) -> "ChainedValues":
    from agent_assets.synthesis.questions.chained import chained_values

    wordings = run.pipeline.path_of(run.config.questions.wordings)
    async with run.pipeline.tool_servers.open(memories=None, log_dir=run.logs) as toolbox:
        return await chained_values(wordings, toolbox.tools, toolbox)


def _source_text(run: StageRun) -> str:
    path = run.pipeline.path_of(run.config.questions.source_file)
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path.name} is not text.", next_step="correct questions.source_file."
        ) from None
    if len(text) > MAX_MATERIAL_CHARS:
        raise ConfigError(
            f"{path.name} has {len(text)} characters; a prompt takes at most {MAX_MATERIAL_CHARS}.",
            next_step="name a shorter file in questions.source_file.",
        )
    return text


STAGE = Stage(
    name="questions",
    description="Questions that the tools can answer (and some they cannot), by a language model "
    "or from wordings, "
    "each with its training or held-out split. Shared by all elders: a new elder never rebuilds "
    "them.",
    deps=("mcp_tool_schema",),
    kinds=frozenset({"python", "text"}),
    code_version="3",
    config=config,
    read_source=read_source,
    has_source=has_source,
    build=build,
    checks=(Check("questions_valid", "There are questions, and no two are the same."),),
    partitioned=False,
)
