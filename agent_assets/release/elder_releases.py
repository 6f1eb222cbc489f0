"""Every release that holds something of one elder: what an erasure has to find."""

from functools import partial

from agent_assets.errors import ReleaseError
from agent_assets.release.pointer import (
    CURRENT,
    DROPPED,
    all_agents,
    pointer_path,
    read_ledger,
    release_lock,
    update_ledger,
)
from agent_assets.release.pointer_history import POINTER, forget_agent, history_file
from agent_assets.release.records import Agent, Ledger
from agent_assets.store.artifact_store import CORRUPT, ArtifactStore


def erase_releases(store: ArtifactStore, elder: str) -> int:
    """Remove every pointer, verdict and copy of an elder; returns in how many files.

    Who once answered as a copy of the elder, and has a release of their own by now, keeps that.
    """
    agents = agents_of_elder(store, elder)
    for agent, goes in agents.items():
        if goes:
            with release_lock(store, agent):
                forget_agent(store, agent)  # first: a lost pointer is read from its history
                for state in (CURRENT, DROPPED):
                    if store.filesystem.exists(pointer_path(store, agent, state)):
                        store.filesystem.rm_file(pointer_path(store, agent, state))
        else:
            theirs = {
                entry.name for entry in read_ledger(store, agent).history if entry.elder == elder
            }
            update_ledger(store, agent, partial(_without, elder=elder, names=theirs))
    _forget_set_aside(store, elder)
    return len(agents)


def agents_of_elder(store: ArtifactStore, elder: str) -> dict[Agent, bool]:
    """The elder's own agents and their copies, sorted; False for who was a copy once and is not any
    more.
    """
    agents = {}
    for agent in all_agents(store):
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
    paths.append(history_file(store, agent))
    contents = [store.filesystem.cat_file(path) for path in paths if store.filesystem.exists(path)]
    return any(elder.encode() in content for content in contents)


def _forget_set_aside(store: ArtifactStore, elder: str) -> None:
    """Remove damaged records that were set aside and name the elder."""
    for path in store.filesystem.glob(f"{store.root}/{CORRUPT}/*/{POINTER}/*/*"):
        if elder.encode() in store.filesystem.cat_file(path):
            store.filesystem.rm_file(path)


def _without(ledger: Ledger, *, elder: str, names: set[str]) -> Ledger:
    """A ledger without what it says of copies of `elder`, which had these content names."""
    history = tuple(entry for entry in ledger.history if entry.elder != elder)
    verdicts = tuple(verdict for verdict in ledger.verdicts if verdict.compared_with not in names)
    return ledger.model_copy(update={"history": history, "verdicts": verdicts})
