"""Stage `elder_memories`: what one elder told, read from MongoDB."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.errors import CorruptArtifact
from agent_assets.pipeline.stage import (
    MEMORIES,
    Check,
    PipelineSpec,
    Source,
    SourceContext,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.store.artifact_store import Artifact
from agent_assets.store.manifest import CheckEntry

if TYPE_CHECKING:
    from agent_assets.mongo.reader import ElderRecord
    from agent_assets.retrieval.config import EmbeddingConfig
    from agent_assets.retrieval.vectors import EmbeddingCounts


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the memories depend on besides the database: settings, and the embedding model."""
    from agent_assets.retrieval.embedding import model_hash

    settings = pipeline.config.elder_memories.fingerprint_settings()
    return settings | {"embedding_model": model_hash(_embedding(pipeline))}


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
    """Write elder.json, memories.jsonl and the vectors of the memories."""
    from agent_assets.conversations.memories import write_memories
    from agent_assets.text.languages.rules import known_languages

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
    counts = _write_vectors(run, record, folder)
    enough = len(record.memories) >= run.config.elder_memories.min_memories
    return StageResult(
        summary={
            "memories": len(record.memories),
            "language": language,
            "language_rules": language if has_rules else "generic",
            "categories": len({memory.category for memory in record.memories}),
            "skipped": dict(record.skipped),
            "set_aside": list(record.set_aside),
            "vectors_computed": counts.computed,
            "vectors_reused": counts.reused,
        },
        checks=[
            CheckEntry(
                name="memories_usable",
                passed=enough,
                description=f"{len(record.memories)} usable, {sum(record.skipped.values())} "
                "skipped",
            )
        ],
        data_version=_data_version(run, source),
    )


def _embedding(pipeline: PipelineSpec) -> "EmbeddingConfig":
    """The embedding settings, with an absolute path where they name a folder."""
    from agent_assets.retrieval.embedding import is_folder

    settings = pipeline.config.elder_memories.embedding
    if not is_folder(settings):
        return settings
    folder = (pipeline.folder / settings.source).resolve()
    return settings.model_copy(update={"source": str(folder)})


def _write_vectors(run: StageRun, record: "ElderRecord", folder: Path) -> "EmbeddingCounts":
    from agent_assets.retrieval.embedding import open_embedder
    from agent_assets.retrieval.vectors import (
        EmbeddingCounts,
        embed_memories,
        read_vectors,
        write_vectors,
    )

    config = _embedding(run.pipeline)
    embedder = open_embedder(config)
    if embedder is None:
        return EmbeddingCounts(computed=0, reused=0)
    previous = _previous(run)
    vectors, counts = embed_memories(
        record.memories,
        record.profile.language,
        embedder,
        config=config,
        previous=None if previous is None else read_vectors(previous.path),
    )
    write_vectors(folder, vectors)
    return counts


def _previous(run: StageRun) -> Artifact | None:
    """The version before, where it can be read; its vectors are computed again where it cannot."""
    try:
        previous = run.previous(MEMORIES)
        if previous is not None:
            run.context.resources.store.verify(previous)
    except CorruptArtifact as error:
        run.context.log.warning("No vector is taken over: %s", error)
        return None
    return previous


def _data_version(run: StageRun, source: Source) -> str:
    """What was told, and what finds it: both decide about the rows that are made from it."""
    content = source.versions["mongodb"]
    embedding_model = config(run.pipeline)["embedding_model"]
    if embedding_model is None:
        return content
    return hashlib.sha256(f"{content}\n{embedding_model}".encode()).hexdigest()[:32]


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
    code_version="3",
    config=config,
    read_source=read_source,
    present=present,
    build=build,
    checks=(Check("memories_usable", "At least `min_memories` answers can be used."),),
)
