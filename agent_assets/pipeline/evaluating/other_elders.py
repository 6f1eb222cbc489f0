"""What other elders told: for the two checks that nothing of it comes out of this elder's agent.

The one place of the graph that reads other elders' memories. What it hands out enters no artifact:
whoever asks keeps counts.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_assets.pipeline.stage import ELDER_PARTITIONS, StageRun
from agent_assets.planning.history import known_partitions
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore

if TYPE_CHECKING:
    from agent_assets.conversations.memories import Memory

# So many others are read from MongoDB where the store has none yet: enough to have looked, and few
# enough for the first run of a backfill.
_FROM_SOURCE = 5


@dataclass(frozen=True)
class OtherElder:
    """Somebody else, as far as the checks need to know."""

    language: str
    memories: "Sequence[Memory]"


def other_elders(run: StageRun, most: int) -> Iterator[OtherElder]:
    """Other elders as the store has them, at most `most`, the nearest in hash order: equal
    candidates, equal choice. Where it has nobody's memories yet, as the source has them.
    """
    from agent_assets.conversations.memories import MEMORIES_FILE, read_memories, read_profile
    from agent_assets.store.erasable_data import versions

    store: ArtifactStore = run.context.resources.store
    folder = f"{store.root}/{run.config.name}/elder_memories"
    names = {
        str(path).rstrip("/").rsplit("/", 1)[-1] for path in store.filesystem.glob(f"{folder}/*")
    } - {run.partition}
    nobody = True
    for name in nearest(run, names, most):
        key = ArtifactKey(run.config.name, "elder_memories", name)
        for latest in versions(store, key)[:1]:
            artifact = store.find(key, latest.fingerprint)
            if artifact is not None and (artifact.path / MEMORIES_FILE).is_file():
                nobody = False
                language = read_profile(artifact.path).language
                yield OtherElder(language, read_memories(artifact.path))
    if nobody:
        yield from _from_source(run, min(_FROM_SOURCE, most))


def known_others(run: StageRun) -> set[str]:
    """Everybody else in this installation, whether anything was read of them or not."""
    return set(known_partitions(run.context.instance, ELDER_PARTITIONS)) - {str(run.partition)}


def nearest(run: StageRun, names: Collection[str], most: int) -> list[str]:
    """The first of the names in an order that is another one for every elder, and always the
    same.
    """

    def nearness(name: str) -> bytes:
        return hashlib.sha256(f"{run.partition}/{name}".encode()).digest()

    return sorted(names, key=nearness)[:most]


def _from_source(run: StageRun, most: int) -> Iterator[OtherElder]:
    """A few others, from MongoDB: of the first elder of an installation."""
    if chosen := nearest(run, known_others(run), most):
        settings = run.config.elder_memories
        for record in run.mongo.iter_elders(settings.layout, chosen):
            if record.memories:
                yield OtherElder(record.profile.language, record.memories)
