"""Retention: the latest versions of each artifact stay, older ones go, and so do temporary folders
nobody uses.
"""

import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.disk import disk_errors, is_in_use
from agent_assets.store.erasable_data import (
    Version,
    artifact_keys,
    local_folders,
    temporary_folders,
    versions,
)

Reference = tuple[ArtifactKey, str]  # a version, by artifact and fingerprint


@dataclass(frozen=True)
class Pruning:
    """What goes, or would go: versions and temporary folders, and their size. `kept` counts the
    versions that stay.
    """

    versions: tuple[Version, ...]
    folders: tuple[Path, ...]
    bytes: int
    kept: int


def plan_pruning(
    store: ArtifactStore,
    *,
    keep_versions: int,
    temporary_s: float,
    protected: Collection[Reference],
    busy: Collection[str | None] = (),
    scratch: Iterable[Path] = (),
    now: float | None = None,
) -> Pruning:
    """Choose what may go.

    Args:
        keep_versions: latest versions to keep of each artifact, by when they were built.
        temporary_s: temporary folders go when nothing in them changed for so many seconds, unless
            somebody builds in them: clocks jump.
        protected: versions that stay whatever their age: those in use now, and those that are
            released.
        busy: partitions with a run going on, None for the shared assets: nothing of theirs goes.
        scratch: temporary folders outside the store.
    """
    moment = time.time() if now is None else now
    gone: list[Version] = []
    remaining = 0
    for key in artifact_keys(store):
        for number, version in enumerate(versions(store, key)):
            if (
                number < keep_versions
                or (key, version.fingerprint) in protected
                or key.partition in busy
            ):
                remaining += 1
            else:
                gone.append(version)
    folders = [
        folder
        for folder in (*temporary_folders(store), *scratch)
        if moment - _last_change(folder) > temporary_s and not is_in_use(folder)
    ]
    size = sum(_version_bytes(store, version) for version in gone) + sum(
        _bytes(folder) for folder in folders
    )
    return Pruning(tuple(gone), tuple(folders), size, remaining)


def apply_pruning(store: ArtifactStore, pruning: Pruning) -> int:
    """Remove what was chosen; returns how many. A version disappears in one step: no reader finds
    half of it.
    """
    with disk_errors(store.workspace):
        for version in pruning.versions:
            with store.lock(version.key, version.fingerprint):
                _remove_version(store, version)
        for folder in pruning.folders:
            if folder.exists() and not is_in_use(folder):
                shutil.rmtree(folder)
    return len(pruning.versions) + len(pruning.folders)


def _remove_version(store: ArtifactStore, version: Version) -> None:
    for folder in local_folders(store, version.key, version.fingerprint):
        aside = (
            store.temporary_folder(version.key) / f"prune-{version.fingerprint}-{time.time_ns()}"
        )
        aside.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(aside)
        shutil.rmtree(aside)
    if not store.local:
        remote = f"{store.root}/{version.key.folder}/{version.fingerprint}"
        store.filesystem.rm_file(f"{remote}/manifest.json")  # without it the rest does not count
        store.filesystem.rm(remote, recursive=True)


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in _tree(folder))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in _tree(folder) if path.is_file())


def _tree(folder: Path) -> Iterable[Path]:
    return [folder, *folder.rglob("*")]


def _version_bytes(store: ArtifactStore, version: Version) -> int:
    return int(store.filesystem.du(f"{store.root}/{version.key.folder}/{version.fingerprint}"))
