"""Tombstones: what remains of an elder who was removed, so that a later elder of the same id
inherits nothing.

`<root>/.tombstones/<elder>.json` holds the incarnation: how often an elder of this id was removed.
It enters every fingerprint, so no artifact of an earlier incarnation can be taken for one of the
present. A tombstone that is lost or damaged is read from its history beside it
(`<elder>.jsonl`): one that was forgotten would bring back what was erased.
"""

from pydantic import BaseModel, ValidationError

from agent_assets.errors import StoreError
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.chained_history import ENDING, add_change, begin_anew, read_history
from agent_assets.store.damage import Repair, files_below, set_file_aside
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
        StoreError: the tombstone and its history are damaged. Nothing is built then, and nothing
            answers: what was erased must not come back because a file was lost.
    """
    return 0 if elder is None else _read(store, elder).generation


def is_buried(store: ArtifactStore, elder: str) -> bool:
    """Whether an elder was removed and is not there again.

    Raises:
        StoreError: the tombstone is damaged.
    """
    return _read(store, elder).buried


def incarnations(store: ArtifactStore) -> dict[str, int]:
    """Incarnation of every elder who was ever removed; `UNREADABLE` where the tombstone is
    damaged with its history, so that one damaged file costs one elder.
    """
    files = files_below(store, _FOLDER, ".json")
    # all at once: an object store reads them concurrently
    contents = store.filesystem.cat(list(files.values())) if files else {}
    known = {elder: _parsed(contents[path]) for elder, path in files.items()}
    for elder in files_below(store, _FOLDER, ENDING):
        known.setdefault(elder, None)
    return {
        elder: _from_history_or_unreadable(store, elder) if stone is None else stone.generation
        for elder, stone in sorted(known.items())
    }


def bury(store: ArtifactStore, elder: str) -> int:
    """Record that an elder was removed; again without `revive` in between changes nothing. Returns
    the incarnation.
    """
    before = _read(store, elder)
    if before.buried:
        return before.generation
    after = _Tombstone(generation=before.generation + 1, buried=True)
    _write(store, elder, before, after)
    return after.generation


def revive(store: ArtifactStore, elder: str) -> int:
    """Record that an elder of this id is there again. Returns the incarnation, 0 for one who never
    was removed.
    """
    before = _read(store, elder)
    if before.buried:
        _write(store, elder, before, before.model_copy(update={"buried": False}))
    return before.generation


def repair_tombstones(store: ArtifactStore) -> list[Repair]:
    """Write tombstones that are lost or damaged anew from their histories, and histories that are
    from their tombstones. Says of each what was done.
    """
    files = files_below(store, _FOLDER, ".json")
    histories = files_below(store, _FOLDER, ENDING)
    return [
        done
        for elder in sorted(files.keys() | histories.keys())
        if (done := _repair(store, elder, files.get(elder), histories.get(elder))) is not None
    ]


def _repair(store: ArtifactStore, elder: str, file: str | None, log: str | None) -> Repair | None:
    stone = None if file is None else _parsed(store.filesystem.cat_file(file))
    try:
        recorded = _from_history(store, elder)
    except StoreError as error:
        if stone is None:
            return Repair(f"tombstone of {elder}", False, error.message)
        recorded = None
        set_file_aside(store, str(log), "_", "tombstone", elder)
    if stone is not None and stone == recorded:
        return None
    if stone is not None:  # a home of an earlier version, or a history that was set aside
        begin_anew(store, _history(store, elder), stone.model_dump())
        return Repair(f"history of the tombstone of {elder}", True, "begun anew")
    if recorded is None:
        return Repair(f"tombstone of {elder}", False, "it is damaged, and has no history")
    if file is not None:
        set_file_aside(store, file, "_", "tombstone", elder)
    replace_file(store, _path(store, elder), recorded.model_dump_json().encode())
    return Repair(f"tombstone of {elder}", True, "written anew from its history")


def _parsed(text: bytes) -> _Tombstone | None:
    try:
        return _Tombstone.model_validate_json(text)
    except ValidationError:
        return None


def _from_history(store: ArtifactStore, elder: str) -> _Tombstone | None:
    changes = read_history(store, _history(store, elder))
    return _Tombstone.model_validate(changes[-1]) if changes else None


def _from_history_or_unreadable(store: ArtifactStore, elder: str) -> int:
    try:
        stone = _from_history(store, elder)
    except StoreError:
        return UNREADABLE
    return UNREADABLE if stone is None else stone.generation


def _read(store: ArtifactStore, elder: str) -> _Tombstone:
    path = _path(store, elder)
    try:
        stone = _parsed(store.filesystem.cat_file(path))
        absent = False
    except FileNotFoundError:
        stone, absent = None, True
    if stone is None:
        try:
            stone = _from_history(store, elder)
        except StoreError as error:
            raise StoreError(
                f"The record that {elder} was removed before cannot be read.",
                next_step=f"restore {path} from a backup. Only if {elder} never was erased, remove "
                "it and its history.",
            ) from error
    if stone is None and absent:
        return _Tombstone(generation=0, buried=False)
    if stone is None:
        raise StoreError(
            f"The record that {elder} was removed before cannot be read.",
            next_step=f"restore {path} from a backup. Only if {elder} never was erased, remove it.",
        )
    return stone


def _write(store: ArtifactStore, elder: str, before: _Tombstone, after: _Tombstone) -> None:
    log = _history(store, elder)
    try:
        behind = read_history(store, log)[-1:] not in ([], [before.model_dump()])
    except StoreError:  # the tombstone itself could be read, or nobody would be here
        set_file_aside(store, log, "_", "tombstone", elder)
        behind = True
    if behind:
        begin_anew(store, log, after.model_dump())
    else:
        add_change(store, log, after.model_dump())
    replace_file(store, _path(store, elder), after.model_dump_json().encode())


def _path(store: ArtifactStore, elder: str) -> str:
    return f"{store.root}/{_FOLDER}/{elder}.json"


def _history(store: ArtifactStore, elder: str) -> str:
    return f"{store.root}/{_FOLDER}/{elder}{ENDING}"
