"""Whether answers of a candidate say what other elders told."""

import hashlib
import json
from collections.abc import Iterator, Mapping

from agent_assets.pipeline.stage import (
    StageRun,
)
from agent_assets.pipeline.stages.eval_report import ANSWERS_FILE
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore


def leaks_of(
    run: StageRun, system: str, reference: str, questions: list[str], prompts: list[str]
) -> dict[str, int]:
    """Counts of a system's answers that say what other elders told; no text of anybody.

    Args:
        reference: the system whose answers show what everybody says.
        questions: the questions; `prompts`: what the agent was told besides.
    """
    from agent_assets.conversations.memories import read_memories
    from agent_assets.release.leaks import find_leaks

    answers = json.loads((run.path("eval_report") / ANSWERS_FILE).read_text(encoding="utf-8"))
    own = read_memories(run.path("elder_memories")) if run.partition else []
    return find_leaks(
        list(answers[system].values()),
        own=[text for memory in own for text in (memory.question, memory.answer)],
        questions=[*questions, *prompts],
        usual=answers[reference].values(),
        others=others_memories(run) if run.partition else (),
        canary_pattern=run.config.release.canary_pattern,
    ).as_dict()


def others_memories(run: StageRun) -> Iterator[list[str]]:
    """Memories of other elders as the store has them, the nearest in hash order: equal candidates,
    equal choice.
    """
    from agent_assets.conversations.memories import MEMORIES_FILE, read_memories
    from agent_assets.store.erasable_data import versions

    store: ArtifactStore = run.context.resources.store
    folder = f"{store.root}/{run.config.name}/elder_memories"
    names = {
        str(path).rstrip("/").rsplit("/", 1)[-1] for path in store.filesystem.glob(f"{folder}/*")
    } - {run.partition}
    chosen = sorted(
        names, key=lambda name: hashlib.sha256(f"{run.partition}/{name}".encode()).digest()
    )
    for name in chosen[: run.config.release.leak_elders]:
        key = ArtifactKey(run.config.name, "elder_memories", name)
        for latest in versions(store, key)[:1]:
            artifact = store.find(key, latest.fingerprint)
            if artifact is not None and (artifact.path / MEMORIES_FILE).is_file():
                yield [memory.answer for memory in read_memories(artifact.path)]


def has_leaks(leaks: Mapping[str, int]) -> bool:
    """Whether a candidate with these counts must not be released."""
    return bool(leaks["canaries"] or leaks["cross_answers"])
