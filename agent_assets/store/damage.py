"""Small files that are damaged: moved aside, never deleted, and said so."""

import time
from dataclasses import dataclass
from pathlib import Path

from agent_assets.store.artifact_store import CORRUPT, ArtifactStore
from agent_assets.store.disk import disk_errors


@dataclass(frozen=True)
class Repair:
    """What was found damaged, whether it is whole again, and how or why not."""

    what: str
    done: bool
    how: str


def files_below(store: ArtifactStore, folder: str, ending: str) -> dict[str, str]:
    """Paths of the files in a folder of the store, by their names without the ending. One listing:
    nothing is opened.
    """
    where = f"{store.root}/{folder}"
    store.filesystem.invalidate_cache(where)  # another process may have written one
    if not store.filesystem.exists(where):
        return {}
    paths = (str(path) for path in store.filesystem.ls(where, detail=False))
    return {
        path.rsplit("/", 1)[-1].removesuffix(ending): path
        for path in sorted(paths)
        if path.endswith(ending)
    }


def set_file_aside(store: ArtifactStore, path: str, pipeline: str, kind: str, agent: str) -> str:
    """Move a damaged file to where damaged things of an agent lie, so that an erasure finds it.
    Returns where.
    """
    folder = f"{store.root}/{CORRUPT}/{pipeline}/{kind}/{agent}"
    target = f"{folder}/{time.time_ns()}-{path.rsplit('/', 1)[-1]}"
    with disk_errors(store.workspace):
        store.filesystem.makedirs(folder, exist_ok=True)
        store.filesystem.mv(path, target)
    return target


def files_set_aside(store: ArtifactStore, *folders: Path) -> list[str]:
    """What lies aside because it was damaged, sorted: artifacts and small files of the store, and
    databases in these folders. Names, relative to where damaged things lie.
    """
    root = f"{store.root}/{CORRUPT}"
    aside = [
        str(path).removeprefix(f"{root}/") for path in store.filesystem.glob(f"{root}/*/*/*/*")
    ]
    databases = [path.name for folder in folders for path in folder.glob("*.damaged-*")]
    return sorted([*aside, *databases])
