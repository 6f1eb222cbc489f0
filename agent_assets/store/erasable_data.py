"""Every place that holds an elder's content. Whatever removes content asks this module where it is.

| below the store | what |
|---|---|
| `<pipeline>/<asset>/<elder>` | artifacts; of a remote store also their copies in the cache, and half-done downloads |
| `.staging/<pipeline>/<elder>` | builds under way and their resume folders: journals, rollouts, checkpoints |
| `.corrupt/<pipeline>/<asset>/<elder>` | damaged versions that were set aside |
| `.traces/<pipeline>/<elder>.sqlite` | what was traced |
| `.llm/<pipeline>/<elder>` | answers of language models |

Below the folder of logs, `agents/<pipeline>/<elder>` holds what tool servers wrote to their
standard error, and the logs of programs that failed: what they print is not ours to know.
`elder_data_locations` lists all of it.

Elsewhere: MongoDB, where content comes from; W&B, where its key sends traces to; files that
somebody exported; the memory of running servers. Release pointers, tombstones, locks, the plan's
index and Dagster's storage hold ids, hashes and counts.
"""  # noqa: E501

import shutil
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from agent_assets.store.artifact_store import (
    CORRUPT,
    STAGING,
    UNPARTITIONED,
    ArtifactKey,
    ArtifactStore,
)
from agent_assets.store.disk import disk_errors

TRACES, LLM_ANSWERS = ".traces", ".llm"
_AGENTS = "agents"


@dataclass(frozen=True)
class Version:
    """One stored version of an artifact. `created_at` is seconds since 1970, from the manifest's
    file.
    """

    key: ArtifactKey
    fingerprint: str
    created_at: float


@dataclass(frozen=True)
class ElderDataLocations:
    """Where content of one elder lies: folders and files of this machine, and folders of a remote
    store's root.
    """

    local: tuple[Path, ...]
    remote: tuple[str, ...]


def elder_data_locations(store: ArtifactStore, logs: Path, partition: str) -> ElderDataLocations:
    """Every folder and file with content of one elder, of all pipelines, sorted; only what is
    there.

    Args:
        logs: the installation's folder of logs.
    """
    elder, here = _pattern(partition), store.workspace
    artifacts = [path for path in here.glob(f"*/*/{elder}") if not path.parts[-3].startswith(".")]
    others = [
        *here.glob(f"{STAGING}/*/{elder}"),
        *here.glob(f"{CORRUPT}/*/*/{elder}"),
        *logs.glob(f"{_AGENTS}/*/{elder}"),
    ]
    traces = [
        file for path in trace_files(store, partition=partition) for file in _with_sidecars(path)
    ]
    local = [*artifacts, *others, *traces, *llm_folders(store, partition=partition)]
    if store.local:
        return ElderDataLocations(tuple(sorted(local)), ())
    remote = [f"{store.root}/{key.folder}" for key in artifact_keys(store, partition=partition)]
    remote += map(str, store.filesystem.glob(f"{store.root}/{CORRUPT}/*/*/{elder}"))
    return ElderDataLocations(tuple(sorted(local)), tuple(sorted(remote)))


def erase_locations(store: ArtifactStore, places: ElderDataLocations) -> None:
    """Remove everything at these places; a place that is gone already is skipped."""
    with disk_errors(store.workspace):
        for path in places.local:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for folder in places.remote:
        if store.filesystem.exists(folder):
            store.filesystem.rm(folder, recursive=True)


def artifact_keys(store: ArtifactStore, *, partition: str | None = None) -> list[ArtifactKey]:
    """Every artifact that has a folder in the store, or only those of one elder, sorted."""
    pattern = f"{store.root}/*/*/{_pattern(partition)}"
    folders = sorted(
        str(path).rstrip("/").split("/")[-3:] for path in store.filesystem.glob(pattern)
    )
    return [
        ArtifactKey(pipeline, asset, None if name == "_" else name)
        for pipeline, asset, name in folders
        if not pipeline.startswith(".")
    ]


def versions(store: ArtifactStore, key: ArtifactKey) -> list[Version]:
    """Complete versions of an artifact, the latest first."""
    all_versions = []
    for fingerprint in store.versions(key):
        modified = store.filesystem.modified(
            f"{store.root}/{key.folder}/{fingerprint}/manifest.json"
        )
        all_versions.append(Version(key, fingerprint, modified.timestamp()))
    return sorted(all_versions, key=lambda version: (-version.created_at, version.fingerprint))


def local_folders(store: ArtifactStore, key: ArtifactKey, fingerprint: str) -> list[Path]:
    """Local folders with the files of one version: the version itself, or its copy in the cache of
    a remote store.
    """
    folder = store.workspace / key.folder / fingerprint
    return [folder] if folder.exists() else []


def temporary_folders(store: ArtifactStore) -> list[Path]:
    """Folders that hold content without being an artifact: staged builds and half-done
    downloads.
    """
    staged = [path for path in sorted((store.workspace / STAGING).glob("*/*/*")) if path.is_dir()]
    if store.local:
        return staged
    # A download goes to `<first digits>-<random>` beside its version, and is renamed when it is
    # complete.
    partial = [
        p
        for p in sorted(store.workspace.glob("*/*/*/*-*"))
        if p.is_dir() and not p.parts[-4].startswith(".")
    ]
    return staged + partial


def trace_file(store: ArtifactStore, pipeline: str, partition: str | None) -> Path:
    """Where the traces of one agent are kept on this machine; SQLite adds two files beside it while
    it writes.
    """
    return store.workspace / TRACES / pipeline / f"{partition or UNPARTITIONED}.sqlite"


def trace_files(store: ArtifactStore, *, partition: str | None = None) -> list[Path]:
    """The trace files of all agents, or of one elder in every pipeline, sorted."""
    return sorted((store.workspace / TRACES).glob(f"*/{_pattern(partition)}.sqlite"))


def llm_folder(store: ArtifactStore, pipeline: str, partition: str | None) -> Path:
    """Where answers of language models about one agent are kept on this machine."""
    return store.workspace / LLM_ANSWERS / pipeline / (partition or UNPARTITIONED)


def llm_folders(store: ArtifactStore, *, partition: str | None = None) -> list[Path]:
    """Folders with answers of language models, of all agents or of one elder in every pipeline,
    sorted.
    """
    return sorted((store.workspace / LLM_ANSWERS).glob(f"*/{_pattern(partition)}"))


def agent_logs(logs: Path, pipeline: str, partition: str | None) -> Path:
    """Where logs about one agent lie that belong to no artifact."""
    return logs / _AGENTS / pipeline / (partition or UNPARTITIONED)


def _pattern(partition: str | None) -> str:
    return "*" if partition is None else escape(partition)


def _with_sidecars(path: Path) -> list[Path]:
    """A SQLite file with those that SQLite keeps beside it while it writes."""
    files = (path.with_name(path.name + end) for end in ("", "-wal", "-shm"))
    return [file for file in files if file.exists()]
