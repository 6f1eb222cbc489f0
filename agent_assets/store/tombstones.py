"""Tombstones: what remains of an elder who was removed, so that a later elder of the same id
inherits nothing.

`<root>/.tombstones/<elder>.json` holds the incarnation: how often an elder of this id was removed.
It enters every fingerprint, so no artifact of an earlier incarnation can be taken for one of the
present.
"""

import json

from agent_assets.store.artifact_store import ArtifactStore

_FOLDER = ".tombstones"


def incarnation_of(store: ArtifactStore, elder: str | None) -> int:
    """How often an elder of this id was removed; 0 for nearly all, and for unpartitioned assets
    (None).
    """
    return 0 if elder is None else _read(store, elder)[0]


def incarnations(store: ArtifactStore) -> dict[str, int]:
    """Generation of every elder who was ever removed."""
    folder = f"{store.root}/{_FOLDER}"
    store.filesystem.invalidate_cache(folder)  # another process may have written one
    if not store.filesystem.exists(folder):
        return {}
    paths = [str(path) for path in store.filesystem.ls(folder, detail=False)]
    named = [path for path in sorted(paths) if path.endswith(".json")]
    contents = (
        store.filesystem.cat(named) if named else {}
    )  # all at once: an object store reads them concurrently
    stem = slice(0, -len(".json"))
    return {
        path.rsplit("/", 1)[-1][stem]: int(json.loads(text)["generation"])
        for path, text in contents.items()
    }


def bury(store: ArtifactStore, elder: str) -> int:
    """Record that an elder was removed; again without `revive` in between changes nothing. Returns
    the incarnation.
    """
    number, buried = _read(store, elder)
    if not buried:
        number += 1
        _write(store, elder, number, buried=True)
    return number


def revive(store: ArtifactStore, elder: str) -> int:
    """Record that an elder of this id is there again. Returns the incarnation, 0 for one who never
    was removed.
    """
    number, buried = _read(store, elder)
    if buried:
        _write(store, elder, number, buried=False)
    return number


def _read(store: ArtifactStore, elder: str) -> tuple[int, bool]:
    try:
        content = json.loads(store.filesystem.cat_file(f"{store.root}/{_FOLDER}/{elder}.json"))
    except FileNotFoundError:
        return 0, False
    return int(content["generation"]), bool(content["buried"])


def _write(store: ArtifactStore, elder: str, number: int, *, buried: bool) -> None:
    store.filesystem.makedirs(f"{store.root}/{_FOLDER}", exist_ok=True)
    content = json.dumps({"generation": number, "buried": buried}).encode()
    partial = f"{store.root}/{_FOLDER}/{elder}.partial"
    store.filesystem.pipe_file(partial, content)
    store.filesystem.mv(partial, f"{store.root}/{_FOLDER}/{elder}.json")
