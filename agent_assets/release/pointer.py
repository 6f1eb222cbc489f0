"""The pointer: which version of an agent answers. One small file per agent, moved in one step, with
its history.

`<root>/.releases/current/<pipeline>/<agent>.json` is there exactly while the agent has a release: a
listing of one folder is the list of all released agents, whatever their number. A dropped one lies
below `.releases/dropped`. Writers take turns under a file lock and say what they believe is
current; one that is wrong about it changes nothing. A pointer that is lost or damaged is read from
its history (`pointer_history.py`) until `repair.py` has written it anew.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import ValidationError

from agent_assets.errors import ReleaseConflict, ReleaseError, StoreError
from agent_assets.release.pointer_history import (
    VERDICTS,
    agents_below,
    agents_with_history,
    ledger_from_history,
    record_change,
)
from agent_assets.release.records import (
    STAGE,
    Action,
    Agent,
    Entry,
    Ledger,
    Verdict,
    read_candidate,
)
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.disk import disk_errors, file_lock
from agent_assets.store.partition_keys import as_partition_key
from agent_assets.store.small_files import replace_file
from agent_assets.store.tombstones import incarnation_of

FOLDER = ".releases"
CURRENT, DROPPED = "current", "dropped"


def agent_of(pipeline: str, partition: str | None) -> Agent:
    """The agent of a partition: an unpartitioned pipeline is one agent of its own name."""
    return pipeline, partition or pipeline


def release_key(pipeline: str, elder: str | None) -> ArtifactKey:
    """Where the release artifacts of an elder lie."""
    return ArtifactKey(pipeline, STAGE, elder)


def read_ledger(store: ArtifactStore, agent: Agent) -> Ledger:
    """Everything known about the release of an agent; an empty ledger when it never had one.

    Raises:
        ReleaseError: neither the file nor its history can be read.
    """
    ledger, problem = read_pointer(store, agent)
    if ledger is not None:
        return ledger
    try:
        ledger = ledger_from_history(store, agent)
    except StoreError as error:
        problem = f"{problem or 'It is gone.'} {error.message}"
    if ledger is None and problem is None:
        return Ledger(pipeline=agent[0], agent=agent[1])
    if ledger is None:
        path = pointer_path(store, agent, CURRENT)
        raise ReleaseError(
            f"The release pointer of {agent[0]}/{agent[1]} cannot be read. {problem}",
            next_step=f"restore {path} from a backup, or remove it, and its history with it, and "
            "release again.",
        )
    return ledger


def read_pointer(store: ArtifactStore, agent: Agent) -> tuple[Ledger | None, str | None]:
    """The ledger as its file has it, and why it could not be read; None and None where there is no
    file.
    """
    for state in (CURRENT, DROPPED):
        path = pointer_path(store, agent, state)
        try:
            return Ledger.model_validate_json(store.filesystem.cat_file(path)), None
        except FileNotFoundError:
            continue
        except ValidationError as error:
            return None, f"{path} has {error.error_count()} problems."
    return None, None


def current_entry(store: ArtifactStore, agent: Agent) -> Entry | None:
    """What answers as this agent now; None without a release, or when its elder was removed.

    Raises:
        ReleaseError: the pointer is damaged.
        StoreError: the elder's tombstone is.
    """
    entry = read_ledger(store, agent).current
    return (
        None if entry is None or entry.incarnation != incarnation_of(store, entry.elder) else entry
    )


def released_agents(store: ArtifactStore) -> list[Agent]:
    """Every agent with a release, sorted. One listing per pipeline: nothing is opened."""
    return agents_below(store, f"{FOLDER}/{CURRENT}", ".json")


def released_folders(store: ArtifactStore) -> list[str]:
    """For each pipeline that ever released, the folder with the pointers of its agents."""
    return _folders(store, CURRENT)


def judged_folders(store: ArtifactStore) -> list[str]:
    """The same of agents without a release: none was let through, or it was dropped."""
    return _folders(store, DROPPED)


def _folders(store: ArtifactStore, state: str) -> list[str]:
    folder = f"{store.root}/{FOLDER}/{state}"
    store.filesystem.invalidate_cache(folder)
    if not store.filesystem.exists(folder):
        return []
    return [str(path).rstrip("/") for path in store.filesystem.ls(folder, detail=False)]


def damaged_releases(store: ArtifactStore) -> dict[Agent, str]:
    """Agents whose pointer is lost or, as their elder's tombstone may be, damaged, and what to do.
    Opens them all.
    """
    problems = {}
    for agent in all_agents(store):
        try:
            current_entry(store, agent)
            if read_pointer(store, agent)[0] is None:
                problems[agent] = (
                    "The release pointer is lost or damaged, and read from its history. Next: "
                    "`agent-assets repair` writes it anew."
                )
        except (ReleaseError, StoreError) as error:
            problems[agent] = f"{error.message} Next: {error.next_step}"
    return problems


def all_agents(store: ArtifactStore) -> list[Agent]:
    """Every agent that has or had a release, sorted, those included whose pointer is lost."""
    dropped = agents_below(store, f"{FOLDER}/{DROPPED}", ".json")
    return sorted({*released_agents(store), *dropped, *agents_with_history(store)})


def known_agents(store: ArtifactStore, name: str) -> list[Agent]:
    """Agents that have or had a release and are called `name`: an elder, a pipeline, or
    `pipeline/elder`.
    """
    pipeline, slash, elder = name.partition("/")
    whose = as_partition_key(elder or pipeline)
    return [
        agent
        for agent in all_agents(store)
        if agent[1] == whose and (not slash or agent[0] == pipeline)
    ]


def move(
    store: ArtifactStore,
    agent: Agent,
    *,
    expected: str | None,
    version: str,
    name: str,
    action: Action,
    author: str,
    reason: str,
    elder: str | None,
    size: int = 0,
) -> Ledger:
    """Let `version` answer from now on.

    Args:
        expected: the version that the caller saw as current, None for none.

    Raises:
        ReleaseConflict: another version is current by now; nothing was changed.
        ReleaseError: the artifact of `version` is not in the store, or its elder was removed since
            it was made.
    """
    artifact = store.find(release_key(agent[0], elder), version)
    if artifact is None:
        raise ReleaseError(
            f"Version {version[:8]} of {agent[0]}/{agent[1]} is not in the store any more.",
            next_step="choose another one: `agent-assets releases` lists them.",
        )
    now = incarnation_of(store, elder)
    incarnation = read_candidate(artifact.path).incarnation
    if incarnation is None:
        entries = read_ledger(store, agent_of(agent[0], elder)).history
        incarnation = next(
            (entry.incarnation for entry in reversed(entries) if entry.version == version), 0
        )
    if incarnation != now:
        raise ReleaseError(
            f"{agent[0]}/{agent[1]} was removed since version {version[:8]} was made.",
            next_step="nothing of a removed elder comes back; build and release a new version.",
        )

    def changed(ledger: Ledger) -> Ledger:
        if version_of(ledger.current) != expected:
            raise ReleaseConflict(
                f"The release of {agent[0]}/{agent[1]} moved meanwhile.",
                next_step="look at it and try again.",
            )
        entry = Entry(
            version=version,
            name=name,
            action=action,
            at=_now(),
            author=author,
            reason=reason,
            elder=elder,
            incarnation=now,
            replaced=expected,
            bytes=size,
        )
        return ledger.model_copy(update={"current": entry, "history": (*ledger.history, entry)})

    return update_ledger(store, agent, changed)


def drop(store: ArtifactStore, agent: Agent, *, author: str, reason: str) -> bool:
    """Take an agent out of service; its history and artifacts stay. Returns whether it had a
    release.
    """
    had = False

    def changed(ledger: Ledger) -> Ledger:
        nonlocal had
        before = ledger.current
        had = before is not None
        if before is None:
            return ledger
        update = {"version": "", "action": "drop", "at": _now(), "author": author, "reason": reason}
        entry = before.model_copy(update=update | {"replaced": before.version})
        return ledger.model_copy(update={"current": None, "history": (*ledger.history, entry)})

    update_ledger(store, agent, changed)
    return had


def note_verdict(store: ArtifactStore, agent: Agent, verdict: Verdict) -> None:
    """Keep a verdict in the ledger; the same one again right after is kept once."""

    def changed(ledger: Ledger) -> Ledger:
        if ledger.verdicts[-1:] == (verdict,):
            return ledger
        return ledger.model_copy(update={"verdicts": (*ledger.verdicts, verdict)[-VERDICTS:]})

    update_ledger(store, agent, changed)


def update_ledger(store: ArtifactStore, agent: Agent, change: Callable[[Ledger], Ledger]) -> Ledger:
    """Change what is known about a release, alone; nothing is written where nothing changes."""
    with release_lock(store, agent):
        before = read_ledger(store, agent)
        after = change(before)
        if after != before:
            record_change(store, agent, before, after)
            write_pointer(store, agent, after)
        return after


def write_pointer(store: ArtifactStore, agent: Agent, ledger: Ledger) -> None:
    """Let the file of an agent hold this ledger; for who holds the lock."""
    state, other = (DROPPED, CURRENT) if ledger.current is None else (CURRENT, DROPPED)
    content = json.dumps(ledger.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
    replace_file(store, pointer_path(store, agent, state), content.encode())
    if store.filesystem.exists(pointer_path(store, agent, other)):
        store.filesystem.rm_file(pointer_path(store, agent, other))


@contextmanager
def release_lock(store: ArtifactStore, agent: Agent) -> Iterator[None]:
    """Who changes the release of an agent holds it.

    Raises:
        StoreReadOnly: this process may not write to the store.
    """
    path = store.workspace / ".locks" / f"release__{agent[0]}__{agent[1]}.lock"
    with disk_errors(store.workspace):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = file_lock(path).acquire()
    with held:
        yield


def pointer_path(store: ArtifactStore, agent: Agent, state: str) -> str:
    """Where the file of an agent lies, `CURRENT` or `DROPPED`."""
    return f"{store.root}/{FOLDER}/{state}/{agent[0]}/{agent[1]}.json"


def version_of(entry: Entry | None) -> str | None:
    """Its version; None where there is no entry."""
    return None if entry is None else entry.version


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
