"""Every release that holds something of one elder: what an erasure has to find."""

from functools import partial

from agent_assets.errors import ReleaseError
from agent_assets.release.pointer import (
    CURRENT,
    DROPPED,
    Agent,
    pointer_files,
    pointer_path,
    read_ledger,
    release_lock,
    update_ledger,
)
from agent_assets.release.records import Ledger
from agent_assets.store.artifact_store import ArtifactStore


def erase_releases(store: ArtifactStore, elder: str) -> int:
    """Remove every pointer, verdict and copy of an elder; returns in how many files.

    Who once answered as a copy of the elder, and has a release of their own by now, keeps that.
    """
    agents = agents_of_elder(store, elder)
    for agent, goes in agents.items():
        if goes:
            with release_lock(store, agent):
                for state in (CURRENT, DROPPED):
                    if store.filesystem.exists(pointer_path(store, agent, state)):
                        store.filesystem.rm_file(pointer_path(store, agent, state))
        else:
            theirs = {
                entry.name for entry in read_ledger(store, agent).history if entry.elder == elder
            }
            update_ledger(store, agent, partial(_without, elder=elder, names=theirs))
    return len(agents)


def agents_of_elder(store: ArtifactStore, elder: str) -> dict[Agent, bool]:
    """The elder's own agents and their copies, sorted; False for who was a copy once and is not any
    more.
    """
    known = {
        (path.split("/")[-2], path.rsplit("/", 1)[-1].removesuffix(".json"))
        for state in (CURRENT, DROPPED)
        for path in pointer_files(store, f"{state}/*/*.json")
    }
    agents = {}
    for agent in sorted(known):
        try:
            ledger = read_ledger(store, agent)
        except ReleaseError:
            # Of another's damaged record nothing is known but its bytes: it goes where they name
            # the elder, and must not stop an erasure where they do not.
            if agent[1] == elder or _names(store, agent, elder):
                agents[agent] = True
            continue
        goes = agent[1] == elder or (ledger.current is not None and ledger.current.elder == elder)
        if goes or any(entry.elder == elder for entry in ledger.history):
            agents[agent] = goes
    return agents


def _names(store: ArtifactStore, agent: Agent, elder: str) -> bool:
    paths = [pointer_path(store, agent, state) for state in (CURRENT, DROPPED)]
    contents = [store.filesystem.cat_file(path) for path in paths if store.filesystem.exists(path)]
    return any(elder.encode() in content for content in contents)


def _without(ledger: Ledger, *, elder: str, names: set[str]) -> Ledger:
    """A ledger without what it says of copies of `elder`, which had these content names."""
    history = tuple(entry for entry in ledger.history if entry.elder != elder)
    verdicts = tuple(verdict for verdict in ledger.verdicts if verdict.compared_with not in names)
    return ledger.model_copy(update={"history": history, "verdicts": verdicts})
