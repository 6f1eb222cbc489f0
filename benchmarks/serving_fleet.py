"""A store with released elders, for `serving.py`: some with real adapters, thousands with a pointer
alone.
"""

import shutil
from pathlib import Path
from typing import Any

from artifacts import manifest_of

from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.release.pointer import FOLDER, move, release_key
from agent_assets.release.records import CANDIDATE_FILE, Candidate, Entry, Ledger, Part
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.manifest import content_version, hash_files

PIPELINE = "elder_companion"
SYSTEM = (
    "You speak as an elder and tell what you remember. Look your memories up before you answer."
)


def release_elders(store: ArtifactStore, models: Path, elders: int) -> list[str]:
    """Release elders on one base, each with an adapter and memories of their own; returns their
    content names.
    """
    base = commit(store, ArtifactKey(PIPELINE, "base_model"), models / "base")
    names = []
    for number in range(elders):
        elder = f"elder-{number:02d}"
        inputs = {"base_model": base.manifest.data_version}
        adapter = commit(
            store,
            ArtifactKey(PIPELINE, "sft_adapter", elder),
            models / f"adapter-{number:02d}",
            inputs=inputs,
        )
        memory_folder = models.parent / "memories" / elder
        memory_folder.mkdir(parents=True)
        memories = [
            Memory(
                f"m{n}",
                f"What did you do in {1950 + n}?",
                f"In {1950 + n} I sold {number + n} candles.",
            )
            for n in range(20)
        ]
        write_memories(memory_folder, ElderProfile(elder, elder), memories)
        roles = {"base": base, "adapter": adapter}
        roles["memories"] = commit(
            store, ArtifactKey(PIPELINE, "elder_memories", elder), memory_folder
        )
        names.append(release_elder(store, elder, roles, models.parent / "candidates" / elder))
    return names


def release_elder(
    store: ArtifactStore,
    elder: str,
    roles: dict[str, Artifact],
    folder: Path,
    prompt: str = SYSTEM,
) -> str:
    """Release an elder with these parts; returns its content name.

    Args:
        folder: for the candidate, made here.
    """
    name = f"{elder}-{roles['adapter'].manifest.data_version[:8]}"
    candidate = Candidate(
        pipeline=PIPELINE,
        partition=elder,
        name=name,
        variant="sft",
        system_prompt=prompt,
        scores={},
        parts={role: Part.of(artifact) for role, artifact in roles.items()},
    )
    folder.mkdir(parents=True)
    (folder / CANDIDATE_FILE).write_text(candidate.model_dump_json(), encoding="utf-8")
    release = commit(store, release_key(PIPELINE, elder), folder)
    move(
        store,
        (PIPELINE, elder),
        expected=None,
        version=release.manifest.fingerprint,
        name=name,
        action="promote",
        author="benchmark",
        reason="benchmark",
        elder=elder,
    )
    return name


def commit(store: ArtifactStore, key: ArtifactKey, source: Path, **more: Any) -> Artifact:
    """A copy of a folder as an artifact; `more` goes into its manifest."""
    fingerprint = content_version(hash_files(source))[:32]
    with store.staging(key, fingerprint) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        return store.commit(key, folder, manifest_of(key, fingerprint, folder, **more))


def add_pointers(store: ArtifactStore, number: int) -> None:
    """Pointers of further released elders, as `move` writes them; their artifacts are never asked
    for.
    """
    folder = Path(store.root) / FOLDER / "current" / PIPELINE
    for elder in (f"fleet-{n:05d}" for n in range(number)):
        entry = Entry(
            version="0" * 32,
            name=f"{elder}-00000000",
            action="promote",
            at="2026-01-01T00:00:00+00:00",
            author="gate",
            reason="nothing fell beyond its margin",
            elder=elder,
            bytes=19_593_064,
        )
        ledger = Ledger(pipeline=PIPELINE, agent=elder, current=entry, history=(entry,))
        (folder / f"{elder}.json").write_text(
            ledger.model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
