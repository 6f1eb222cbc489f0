"""Makes damaged release pointers and tombstones whole again from their histories: `agent-assets
repair`, each night, and each start of `up`.
"""

from agent_assets.errors import StoreError
from agent_assets.release.pointer import (
    CURRENT,
    DROPPED,
    all_agents,
    pointer_path,
    read_pointer,
    release_lock,
    write_pointer,
)
from agent_assets.release.pointer_history import (
    POINTER,
    begin_history,
    history_file,
    ledger_from_history,
)
from agent_assets.release.records import Agent
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.damage import Repair, set_file_aside
from agent_assets.store.tombstones import repair_tombstones


def repair_store(store: ArtifactStore) -> list[Repair]:
    """Write what is lost or damaged anew, and give a history to what has none. Opens every pointer
    and tombstone; nothing is deleted, damaged files are set aside.
    """
    return [*repair_tombstones(store), *repair_releases(store)]


def repair_releases(store: ArtifactStore) -> list[Repair]:
    """The same of release pointers alone."""
    repairs = []
    for agent in all_agents(store):
        if not _is_whole(store, agent):  # a lock for each of ten thousand takes seconds
            with release_lock(store, agent):
                repairs += _repair(store, agent)
    return repairs


def _is_whole(store: ArtifactStore, agent: Agent) -> bool:
    ledger, _ = read_pointer(store, agent)
    try:
        return ledger is not None and ledger == ledger_from_history(store, agent)
    except StoreError:
        return False


def _repair(store: ArtifactStore, agent: Agent) -> list[Repair]:
    what = f"release pointer of {'/'.join(agent)}"
    ledger, problem = read_pointer(store, agent)
    try:
        recorded = ledger_from_history(store, agent)
    except StoreError as error:
        if ledger is None:
            return [Repair(what, False, error.message)]
        recorded = None
        set_file_aside(store, history_file(store, agent), agent[0], POINTER, agent[1])
    if ledger is not None:
        if ledger == recorded:
            return []
        # A home of an earlier version, a history that was set aside, or a change that was cut off
        # between the two: what answered is what counts.
        begin_history(store, agent, ledger)
        return [Repair(f"history of the {what}", True, "begun anew")]
    if recorded is None:
        return [] if problem is None else [Repair(what, False, f"{problem} It has no history.")]
    for state in (CURRENT, DROPPED):
        path = pointer_path(store, agent, state)
        if store.filesystem.exists(path):
            set_file_aside(store, path, agent[0], POINTER, agent[1])
    write_pointer(store, agent, recorded)
    return [Repair(what, True, "written anew from its history")]
