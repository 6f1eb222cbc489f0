"""The history of release pointers: each change of a ledger as a line, from which the ledger can be
made again (`store/chained_history.py`).

A line holds what was added to a ledger, or all of it where something was taken away: what an
erasure removes from a ledger must not stay in its history.
"""

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_assets.errors import StoreError
from agent_assets.release.records import Agent, Entry, Ledger, Verdict
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.chained_history import (
    ENDING,
    add_change,
    begin_anew,
    forget_history,
    read_history,
)
from agent_assets.store.damage import files_below, set_file_aside

POINTER = "release_pointer"
_FOLDER = ".releases/history"
_ALL = "all"
_MOST_LINES = 200  # then a history begins anew with all of the ledger: each change reads it
VERDICTS = 20  # of the latest candidates, in a ledger


class _Change(BaseModel):
    """What a change added. `answers` says whether the last entry is what answers now."""

    model_config = ConfigDict(extra="forbid")

    history: tuple[Entry, ...]
    verdicts: tuple[Verdict, ...]
    answers: bool


def record_change(store: ArtifactStore, agent: Agent, before: Ledger, after: Ledger) -> None:
    """Put a change on the disk, before the pointer itself changes.

    Raises:
        StoreFull: no space is left; nothing was changed.
    """
    path = history_file(store, agent)
    try:
        known = ledger_from_history(store, agent)
        long = len(read_history(store, path)) >= _MOST_LINES
    except StoreError:  # the pointer could be read: it is what counts
        set_file_aside(store, path, agent[0], POINTER, agent[1])
        known, long = None, False
    change = _added(before, after)
    if change is None or known != before or long:
        begin_history(store, agent, after)
    else:
        add_change(store, path, change)


def begin_history(store: ArtifactStore, agent: Agent, ledger: Ledger) -> None:
    """Let a history begin with this ledger; what it had before is forgotten."""
    path = history_file(store, agent)
    begin_anew(store, path, {_ALL: ledger.model_dump(mode="json")})


def ledger_from_history(store: ArtifactStore, agent: Agent) -> Ledger | None:
    """The ledger as its history has it; None without a history.

    Raises:
        StoreError: the history is damaged.
    """
    ledger: Ledger | None = None
    try:
        for change in read_history(store, history_file(store, agent)):
            ledger = _with(ledger or Ledger(pipeline=agent[0], agent=agent[1]), change)
    except ValidationError as error:
        raise StoreError(
            f"The history of the release of {agent[0]}/{agent[1]} holds what is no record "
            f"({error.error_count()} problems).",
            next_step="`agent-assets repair` sets it aside.",
        ) from error
    return ledger


def agents_with_history(store: ArtifactStore) -> list[Agent]:
    """Every agent that has or had a release and a history of it, sorted; nothing is opened."""
    return agents_below(store, _FOLDER, ENDING)


def agents_below(store: ArtifactStore, folder: str, ending: str) -> list[Agent]:
    """The agents with a file `<folder>/<pipeline>/<agent><ending>`, sorted. One listing per
    pipeline.
    """
    where = f"{store.root}/{folder}"
    store.filesystem.invalidate_cache(where)
    if not store.filesystem.exists(where):
        return []
    paths = (str(path).rstrip("/") for path in store.filesystem.ls(where, detail=False))
    return [
        (pipeline, agent)
        for pipeline in sorted(path.rsplit("/", 1)[-1] for path in paths)
        for agent in sorted(files_below(store, f"{folder}/{pipeline}", ending))
    ]


def history_file(store: ArtifactStore, agent: Agent) -> str:
    """Where the history of an agent lies."""
    return f"{store.root}/{_FOLDER}/{agent[0]}/{agent[1]}{ENDING}"


def forget_agent(store: ArtifactStore, agent: Agent) -> None:
    """Remove the history of an agent."""
    forget_history(store, history_file(store, agent))


def _added(before: Ledger, after: Ledger) -> dict[str, object] | None:
    """What a change added; None where it took something away as well."""
    count = len(before.history)
    entries = after.history[count:]
    new = [verdict for verdict in after.verdicts if verdict not in before.verdicts]
    change: dict[str, object] = {
        "history": [entry.model_dump(mode="json") for entry in entries],
        "verdicts": [verdict.model_dump(mode="json") for verdict in new],
        "answers": after.current is not None,
    }
    return change if _with(before, change) == after else None


def _with(ledger: Ledger, change: dict[str, object]) -> Ledger:
    if _ALL in change:
        return Ledger.model_validate(change[_ALL])
    added = _Change.model_validate(change)
    history = (*ledger.history, *added.history)
    return ledger.model_copy(
        update={
            "history": history,
            "verdicts": (*ledger.verdicts, *added.verdicts)[-VERDICTS:],
            "current": history[-1] if added.answers and history else None,
        }
    )
