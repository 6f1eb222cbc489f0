"""Every place of the store that holds an elder's content. Whatever removes content asks this module where it is."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from agent_assets.store.artifact_store import CORRUPT, STAGING, UNPARTITIONED, ArtifactKey, ArtifactStore

TRACES, LLM_ANSWERS = ".traces", ".llm"


@dataclass(frozen=True)
class Version:
    """One stored version of an artifact. `created_at` is seconds since 1970, from the manifest's file."""

    key: ArtifactKey
    fingerprint: str
    created_at: float


def artifact_keys(store: ArtifactStore, *, partition: str | None = None) -> list[ArtifactKey]:
    """Every artifact that has a folder in the store, or only those of one elder, sorted."""
    pattern = f"{store.root}/*/*/{partition or '*'}"
    folders = sorted(str(path).rstrip("/").split("/")[-3:] for path in store.filesystem.glob(pattern))
    return [
        ArtifactKey(pipeline, asset, None if name == "_" else name)
        for pipeline, asset, name in folders
        if not pipeline.startswith(".")
    ]


def versions(store: ArtifactStore, key: ArtifactKey) -> list[Version]:
    """Complete versions of an artifact, the latest first."""
    found = []
    for fingerprint in store.versions(key):
        modified = store.filesystem.modified(f"{store.root}/{key.folder}/{fingerprint}/manifest.json")
        found.append(Version(key, fingerprint, modified.timestamp()))
    return sorted(found, key=lambda version: (-version.created_at, version.fingerprint))


def local_folders(store: ArtifactStore, key: ArtifactKey, fingerprint: str) -> list[Path]:
    """Local folders with the files of one version: the version itself, or its copy in the cache of a remote store."""
    folder = store.workspace / key.folder / fingerprint
    return [folder] if folder.exists() else []


def temporary_folders(store: ArtifactStore) -> list[Path]:
    """Folders that hold content without being an artifact: staged builds and half-done downloads."""
    staged = [path for path in sorted((store.workspace / STAGING).glob("*")) if path.is_dir()]
    if store.local:
        return staged
    # A download goes to `<first digits>-<random>` beside its version, and is renamed when it is complete.
    partial = [p for p in sorted(store.workspace.glob("*/*/*/*-*")) if p.is_dir() and not p.parts[-4].startswith(".")]
    return staged + partial


def damaged_folders(store: ArtifactStore) -> list[Path]:
    """Versions that were set aside because their files differed from their manifest."""
    return [path for path in sorted((store.workspace / CORRUPT).glob("*")) if path.is_dir()]


def trace_file(store: ArtifactStore, pipeline: str, partition: str | None) -> Path:
    """Where the traces of one agent are kept on this machine; SQLite adds two files beside it while it writes."""
    return store.workspace / TRACES / pipeline / f"{partition or UNPARTITIONED}.sqlite"


def trace_files(store: ArtifactStore, *, partition: str | None = None) -> list[Path]:
    """The trace files of all agents, or of one elder in every pipeline, sorted."""
    return sorted((store.workspace / TRACES).glob(f"*/{partition or '*'}.sqlite"))


def erase_traces(store: ArtifactStore, partition: str) -> list[Path]:
    """Remove every trace of one elder on this machine; returns the files that were removed."""
    found = trace_files(store, partition=partition)
    for path in found:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return found


def llm_folder(store: ArtifactStore, pipeline: str, partition: str | None) -> Path:
    """Where answers of language models about one agent are kept on this machine."""
    return store.workspace / LLM_ANSWERS / pipeline / (partition or UNPARTITIONED)


def llm_folders(store: ArtifactStore, *, partition: str | None = None) -> list[Path]:
    """Folders with answers of language models, of all agents or of one elder in every pipeline, sorted."""
    return sorted((store.workspace / LLM_ANSWERS).glob(f"*/{partition or '*'}"))


def erase_llm_answers(store: ArtifactStore, partition: str) -> list[Path]:
    """Remove every kept answer about one elder on this machine; returns the folders that were removed."""
    found = llm_folders(store, partition=partition)
    for path in found:
        shutil.rmtree(path)
    return found
