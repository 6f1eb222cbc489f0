"""Stage `elder_memories`: what one elder told, read from MongoDB."""

from collections.abc import Mapping
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
from agent_assets.store.manifest import CheckEntry


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the memories depend on besides the database."""
    return pipeline.config.elder_memories.fingerprint_settings()


def read_source(run: SourceContext) -> Source:
    """Read the elder's answers; their content hash leaves out times, so that a touch changes
    nothing.
    """
    from agent_assets.mongo.reader import content_digest

    settings = run.config.elder_memories
    record = run.mongo.read_elder(
        _partition(run), settings.layout, max_answer_chars=settings.max_answer_chars
    )
    return Source(versions={"mongodb": content_digest(record)}, data=record)


def present(pipeline: PipelineSpec) -> bool:
    """Only where there are elders."""
    return pipeline.partitioned


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Write elder.json and memories.jsonl."""
    from agent_assets.conversations.memories import write_memories
    from agent_assets.text.languages.lookup import known_languages

    record = source.data
    language = record.profile.language
    has_rules = language in known_languages()
    if not has_rules:
        run.context.log.warning(
            "There are no rules for the language %s: text is read by the boundaries of Unicode, "
            "and what is said "
            'besides the elder\'s words is in another language. See "Add a language" in '
            "docs/training-data.md.",
            repr(language),
        )
    write_memories(folder, record.profile, record.memories)
    enough = len(record.memories) >= run.config.elder_memories.min_memories
    return StageResult(
        summary={
            "memories": len(record.memories),
            "language": language,
            "language_rules": language if has_rules else "generic",
            "categories": len({memory.category for memory in record.memories}),
            "skipped": dict(record.skipped),
            "set_aside": list(record.set_aside),
        },
        checks=[
            CheckEntry(
                name="memories_usable",
                passed=enough,
                description=f"{len(record.memories)} usable, {sum(record.skipped.values())} "
                "skipped",
            )
        ],
        data_version=source.versions["mongodb"],
    )


def _partition(run: SourceContext) -> str:
    assert run.partition is not None, "elder_memories exists in partitioned pipelines only"
    return run.partition


STAGE = Stage(
    name="elder_memories",
    description="The answers of one elder, from MongoDB, sorted; empty and unreadable answers "
    "are left out and "
    "counted. Version: hash of the content, times left out.",
    deps=(),
    kinds=frozenset({"mongodb"}),
    code_version="1",
    config=config,
    read_source=read_source,
    present=present,
    build=build,
    checks=(Check("memories_usable", "At least `min_memories` answers can be used."),),
)
