"""Whether answers of a candidate say what other elders told."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping

from agent_assets.pipeline.stage import ELDER_PARTITIONS, StageRun
from agent_assets.pipeline.stages.eval_report import ANSWERS_FILE
from agent_assets.planning.history import known_partitions
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore

# So many others are read from MongoDB where the store has none yet: enough to have looked, and few
# enough for the first run of a backfill.
_FROM_SOURCE = 5


def leaks_of(
    run: StageRun, variant: str, reference: str, questions: list[str], prompts: list[str]
) -> dict[str, int]:
    """Counts of a variant's answers that say what other elders told; no text of anybody.
    `known_elders` are the others of this installation, whether compared with or not.

    Args:
        reference: the variant whose answers show what everybody says.
        questions: the questions; `prompts`: what the agent was told besides.
    """
    from agent_assets.conversations.memories import read_memories
    from agent_assets.release.leaks import find_leaks

    answers = json.loads((run.path("eval_report") / ANSWERS_FILE).read_text(encoding="utf-8"))
    own = read_memories(run.path("elder_memories")) if run.partition else []
    leaks = find_leaks(
        list(answers[variant].values()),
        own=[text for memory in own for text in (memory.question, memory.answer)],
        questions=[*questions, *prompts],
        usual=answers[reference].values(),
        others=others_memories(run) if run.partition else (),
        canary_pattern=run.config.release.canary_pattern,
    )
    return leaks.as_dict() | {"known_elders": len(_known_others(run)) if run.partition else 0}


def others_memories(run: StageRun) -> Iterator[list[str]]:
    """Memories of other elders as the store has them, the nearest in hash order: equal candidates,
    equal choice. Where it has nobody's yet, as the source has them.
    """
    from agent_assets.conversations.memories import MEMORIES_FILE, read_memories
    from agent_assets.store.erasable_data import versions

    store: ArtifactStore = run.context.resources.store
    folder = f"{store.root}/{run.config.name}/elder_memories"
    names = {
        str(path).rstrip("/").rsplit("/", 1)[-1] for path in store.filesystem.glob(f"{folder}/*")
    } - {run.partition}
    nobody = True
    for name in _chosen(run, names, run.config.release.leak_elders):
        key = ArtifactKey(run.config.name, "elder_memories", name)
        for latest in versions(store, key)[:1]:
            artifact = store.find(key, latest.fingerprint)
            if artifact is not None and (artifact.path / MEMORIES_FILE).is_file():
                nobody = False
                yield [memory.answer for memory in read_memories(artifact.path)]
    if nobody:
        yield from _from_source(run)


def _from_source(run: StageRun) -> Iterator[list[str]]:
    """Memories of a few others, from MongoDB: of the first elder of an installation."""
    most = min(_FROM_SOURCE, run.config.release.leak_elders)
    if chosen := _chosen(run, _known_others(run), most):
        settings = run.config.elder_memories
        for record in run.mongo.iter_elders(settings.layout, chosen):
            if record.memories:
                yield [memory.answer for memory in record.memories]


def _known_others(run: StageRun) -> set[str]:
    return set(known_partitions(run.context.instance, ELDER_PARTITIONS)) - {str(run.partition)}


def _chosen(run: StageRun, names: Collection[str], most: int) -> list[str]:
    def nearness(name: str) -> bytes:
        return hashlib.sha256(f"{run.partition}/{name}".encode()).digest()

    return sorted(names, key=nearness)[:most]


def has_leaks(leaks: Mapping[str, int]) -> bool:
    """Whether a candidate with these counts must not be released."""
    return bool(leaks["canaries"] or leaks["cross_answers"])
