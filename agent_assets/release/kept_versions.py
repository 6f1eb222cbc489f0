"""Which stored versions releases need: what answers, and what it may go back to."""

from dataclasses import dataclass, field

from agent_assets.errors import CorruptArtifact, ReleaseError
from agent_assets.release.pointer import all_agents, read_ledger, release_key
from agent_assets.release.records import Entry, read_candidate
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore


@dataclass(frozen=True)
class KeptVersions:
    """Versions by artifact and fingerprint; and agents of whom nobody can tell, because a file of
    their release is damaged: nothing of theirs may go.
    """

    references: set[tuple[ArtifactKey, str]] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def released_fingerprints(store: ArtifactStore, *, keep: int = 5) -> KeptVersions:
    """What must stay: artifacts of what answers now and of the last `keep` releases before it."""
    kept = KeptVersions()
    for agent in all_agents(store):
        try:
            ledger = read_ledger(store, agent)
            entries: dict[str, Entry] = (
                {} if ledger.current is None else {ledger.current.version: ledger.current}
            )
            for entry in reversed(ledger.history):
                if entry.version and len(entries) <= keep:
                    entries.setdefault(entry.version, entry)
            for entry in entries.values():
                kept.references.update(_artifacts(store, agent[0], entry))
        except (ReleaseError, CorruptArtifact):
            kept.unknown.add(agent[1])
    return kept


def _artifacts(store: ArtifactStore, pipeline: str, entry: Entry) -> set[tuple[ArtifactKey, str]]:
    key = release_key(pipeline, entry.elder)
    artifact = store.find(key, entry.version)
    if artifact is None:
        return set()
    parts = read_candidate(artifact.path).parts.values()
    return {(key, entry.version), *((part.key(pipeline), part.fingerprint) for part in parts)}
