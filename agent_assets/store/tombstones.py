"""Tombstones: what remains of an elder who was removed, so that a later elder of the same id
inherits nothing.

`<root>/.tombstones/<elder>.json` holds the incarnation: how often an elder of this id was removed.
It enters every fingerprint, so no artifact of an earlier incarnation can be taken for one of the
present.
"""

from pydantic import BaseModel, ValidationError

from agent_assets.errors import StoreError
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.small_files import replace_file

UNREADABLE = -1  # the incarnation of an elder whose tombstone is damaged: no artifact has it
_FOLDER = ".tombstones"


class _Tombstone(BaseModel):
    generation: int
    buried: bool


def incarnation_of(store: ArtifactStore, elder: str | None) -> int:
    """How often an elder of this id was removed; 0 for nearly all, and for unpartitioned assets
    (None).

    Raises:
        StoreError: the tombstone is damaged. Nothing is built then, and nothing answers: what was
            erased must not come back because a file was lost.
    """
    return 0 if elder is None else _read(store, elder)[0]


def is_buried(store: ArtifactStore, elder: str) -> bool:
    """Whether an elder was removed and is not there again.

    Raises:
        StoreError: the tombstone is damaged.
    """
    return _read(store, elder)[1]


def incarnations(store: ArtifactStore) -> dict[str, int]:
    """Incarnation of every elder who was ever removed; `UNREADABLE` where the tombstone is
    damaged, so that one damaged file costs one elder.
    """
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
    return {path.rsplit("/", 1)[-1][stem]: _generation(text) for path, text in contents.items()}


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


def _generation(text: bytes) -> int:
    try:
        return _Tombstone.model_validate_json(text).generation
    except ValidationError:
        return UNREADABLE


def _read(store: ArtifactStore, elder: str) -> tuple[int, bool]:
    path = f"{store.root}/{_FOLDER}/{elder}.json"
    try:
        tombstone = _Tombstone.model_validate_json(store.filesystem.cat_file(path))
    except FileNotFoundError:
        return 0, False
    except ValidationError:
        raise StoreError(
            f"The record that {elder} was removed before cannot be read.",
            next_step=f"restore {path} from a backup. Only if {elder} never was erased, remove it.",
        ) from None
    return tombstone.generation, tombstone.buried


def _write(store: ArtifactStore, elder: str, number: int, *, buried: bool) -> None:
    tombstone = _Tombstone(generation=number, buried=buried)
    replace_file(
        store, f"{store.root}/{_FOLDER}/{elder}.json", tombstone.model_dump_json().encode()
    )
