"""The exam of an elder (or of an agent without one): a file of a configured folder, outside the
graph.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.pipeline.stage import PipelineSpec, Source, SourceContext, StageRun

if TYPE_CHECKING:
    from agent_assets.conversations.exam import ExamTurn
    from agent_assets.evaluation.conversation import ConversationItem
    from agent_assets.release.config import Group

EXAM_FILE = "exam.jsonl"  # the turns that were asked, beside the report
DEVELOP = "develop"


def has_exams(pipeline: PipelineSpec) -> bool:
    """Whether the pipeline names a folder of exams."""
    return pipeline.config.eval_report.exams is not None


def read_exam_source(run: SourceContext) -> Source:
    """The text of the exam; no version where there is none, so that nothing becomes stale."""
    path = exam_of(run.pipeline, run.partition)
    if path is None:
        return Source({})
    content = path.read_bytes()
    return Source({"exam": _digest(content)}, content.decode())


def exam_versions(pipeline: PipelineSpec, partition: str) -> dict[str, str]:
    """The versions of `read_exam_source`; a file that did not change is not read again."""
    path = exam_of(pipeline, partition)
    if path is None:
        return {}
    state = path.stat()
    return {"exam": _digest_of(path, state.st_mtime_ns, state.st_size)}


def exam_items(run: StageRun, source: Source, system: str) -> "list[ConversationItem]":
    """The turns that are reported, as items. Those that rest on a memory which was withdrawn since
    are left out: nobody can answer them any more.

    Raises:
        ExamError: the exam is wrong.
    """
    from agent_assets.conversations.memories import read_memories, read_profile
    from agent_assets.evaluation.conversation import conversation_items
    from agent_assets.evaluation.exam_judge import Person
    from agent_assets.mongo.exam_evidence import find_evidence

    if source.data is None:
        return []
    turns = reported_turns(run, source)
    memories = [] if run.memories is None else read_memories(run.memories)
    language = "en" if run.memories is None else read_profile(run.memories).language
    person = Person(language, {memory.memory_id: memory for memory in memories}, system)
    evidence = find_evidence(turns, run.partition or "", memories)
    missing = [turn.id for turn in turns if turn.id not in evidence]
    if missing:
        run.context.log.warning(
            "%d turns of the exam rest on memories that are not there (first: %s); left out",
            len(missing),
            missing[0],
        )
    return conversation_items(turns, evidence, person, system)


def reported_turns(run: StageRun, source: Source) -> "list[ExamTurn]":
    """All turns but those to develop on."""
    from agent_assets.conversations.exam import parse_exam

    path = exam_of(run.pipeline, run.partition)
    turns = parse_exam(path or Path(EXAM_FILE), source.data)
    return [turn for turn in turns if turn.half != DEVELOP]


def asked_turns(report: Path) -> "list[ExamTurn]":
    """The turns that an eval_report asked besides the held-out items."""
    from agent_assets.conversations.exam import read_exam

    path = report / EXAM_FILE
    return read_exam(path) if path.is_file() else []


def required_groups(run: StageRun) -> "tuple[Group, ...]":
    """What must have been checked before a release; a conversation, where there is an exam."""
    settings = run.config.release
    groups = settings.required_groups(elders=run.partition is not None)
    if settings.required is None and exam_of(run.pipeline, run.partition) is not None:
        return (*groups, "conversation")
    return groups


def exam_of(pipeline: PipelineSpec, partition: str | None) -> Path | None:
    """The file of the exam; None where there is none."""
    folder = pipeline.config.eval_report.exams
    if folder is None:
        return None
    path = pipeline.folder / folder / f"{partition or pipeline.config.name}.jsonl"
    return path if path.is_file() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=100_000)
def _digest_of(path: Path, changed_at: int, size: int) -> str:
    return _digest(path.read_bytes())
