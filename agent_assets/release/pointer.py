"""The pointer: which version of an agent answers. One small file per agent, moved in one step, with
its history.

`<root>/.releases/current/<pipeline>/<agent>.json` is there exactly while the agent has a release: a
listing of one folder is the list of all released agents, whatever their number. A dropped one lies
below `.releases/dropped`. Writers take turns under a file lock and say what they believe is
current; one that is wrong about it changes nothing.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from filelock import FileLock
from pydantic import ValidationError

from agent_assets.errors import ReleaseConflict, ReleaseError, StoreError
from agent_assets.release.records import STAGE, Action, Entry, Ledger, Verdict, read_candidate
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.disk import file_lock
from agent_assets.store.partition_keys import as_partition_key
from agent_assets.store.small_files import replace_file
from agent_assets.store.tombstones import incarnation_of

FOLDER = ".releases"
CURRENT, DROPPED = "current", "dropped"
_VERDICTS = 20

Agent = tuple[str, str]  # pipeline, and the elder (the pipeline's own name in an unpartitioned one)


def agent_of(pipeline: str, partition: str | None) -> Agent:
    """The agent of a partition: an unpartitioned pipeline is one agent of its own name."""
    return pipeline, partition or pipeline


def release_key(pipeline: str, elder: str | None) -> ArtifactKey:
    """Where the release artifacts of an elder lie."""
    return ArtifactKey(pipeline, STAGE, elder)


def read_ledger(store: ArtifactStore, agent: Agent) -> Ledger:
    """Everything known about the release of an agent; an empty ledger when it never had one.

    Raises:
        ReleaseError: the file cannot be read.
    """
    for state in (CURRENT, DROPPED):
        try:
            content = store.filesystem.cat_file(pointer_path(store, agent, state))
        except FileNotFoundError:
            continue
        try:
            return Ledger.model_validate_json(content)
        except ValidationError as error:
            raise ReleaseError(
                f"The release pointer of {agent[0]}/{agent[1]} cannot be read "
                f"({error.error_count()} problems).",
                next_step=f"restore {pointer_path(store, agent, state)} from a backup, or remove "
                "it and release again.",
            ) from error
    return Ledger(pipeline=agent[0], agent=agent[1])


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
    agents = []
    for pipeline in released_folders(store):
        store.filesystem.invalidate_cache(pipeline)
        name = pipeline.rsplit("/", 1)[-1]
        for path in store.filesystem.ls(pipeline, detail=False):
            if str(path).endswith(".json"):
                agents.append((name, str(path).rsplit("/", 1)[-1].removesuffix(".json")))
    return sorted(agents)


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
    """Agents whose pointer, or whose elder's tombstone, cannot be read, and why. Opens them all."""
    problems = {}
    for agent in released_agents(store):
        try:
            current_entry(store, agent)
        except (ReleaseError, StoreError) as error:
            problems[agent] = f"{error.message} Next: {error.next_step}"
    return problems


def known_agents(store: ArtifactStore, name: str) -> list[Agent]:
    """Agents that have or had a release and are called `name`: an elder, a pipeline, or
    `pipeline/elder`.
    """
    pipeline, slash, elder = name.partition("/")
    whose = as_partition_key(elder or pipeline)
    pattern = f"{pipeline}/{whose}" if slash else f"*/{whose}"
    paths = [
        path
        for state in (CURRENT, DROPPED)
        for path in pointer_files(store, f"{state}/{pattern}.json")
    ]
    return sorted(
        {(path.split("/")[-2], path.rsplit("/", 1)[-1].removesuffix(".json")) for path in paths}
    )


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
        return ledger.model_copy(update={"verdicts": (*ledger.verdicts, verdict)[-_VERDICTS:]})

    update_ledger(store, agent, changed)


def released_fingerprints(store: ArtifactStore, *, keep: int = 5) -> set[tuple[ArtifactKey, str]]:
    """What must stay: artifacts of what answers now and of the last `keep` releases before it.

    Raises:
        ReleaseError: a pointer cannot be read; then nothing should be removed.
    """
    references: set[tuple[ArtifactKey, str]] = set()
    for path in [
        *pointer_files(store, f"{CURRENT}/*/*.json"),
        *pointer_files(store, f"{DROPPED}/*/*.json"),
    ]:
        pipeline, agent = path.split("/")[-2], path.rsplit("/", 1)[-1].removesuffix(".json")
        ledger = read_ledger(store, (pipeline, agent))
        entries: dict[str, Entry] = (
            {} if ledger.current is None else {ledger.current.version: ledger.current}
        )
        for entry in reversed(ledger.history):
            if entry.version and len(entries) <= keep:
                entries.setdefault(entry.version, entry)
        for entry in entries.values():
            references |= _artifacts(store, pipeline, entry)
    return references


def _artifacts(store: ArtifactStore, pipeline: str, entry: Entry) -> set[tuple[ArtifactKey, str]]:
    key = release_key(pipeline, entry.elder)
    artifact = store.find(key, entry.version)
    if artifact is None:
        return set()
    parts = read_candidate(artifact.path).parts.values()
    return {(key, entry.version), *((part.key(pipeline), part.fingerprint) for part in parts)}


def update_ledger(store: ArtifactStore, agent: Agent, change: Callable[[Ledger], Ledger]) -> Ledger:
    """Change what is known about a release, alone; nothing is written where nothing changes."""
    with release_lock(store, agent):
        before = read_ledger(store, agent)
        after = change(before)
        if after != before:
            state, other = (DROPPED, CURRENT) if after.current is None else (CURRENT, DROPPED)
            content = json.dumps(after.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
            replace_file(store, pointer_path(store, agent, state), content.encode())
            if store.filesystem.exists(pointer_path(store, agent, other)):
                store.filesystem.rm_file(pointer_path(store, agent, other))
        return after


def release_lock(store: ArtifactStore, agent: Agent) -> FileLock:
    """Who changes the release of an agent holds it."""
    path = store.workspace / ".locks" / f"release__{agent[0]}__{agent[1]}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return file_lock(path)


def pointer_files(store: ArtifactStore, pattern: str) -> list[str]:
    """Paths below the folder of releases, sorted."""
    folder = f"{store.root}/{FOLDER}"
    store.filesystem.invalidate_cache(folder)
    return sorted(str(path) for path in store.filesystem.glob(f"{folder}/{pattern}"))


def pointer_path(store: ArtifactStore, agent: Agent, state: str) -> str:
    """Where the file of an agent lies, `CURRENT` or `DROPPED`."""
    return f"{store.root}/{FOLDER}/{state}/{agent[0]}/{agent[1]}.json"


def version_of(entry: Entry | None) -> str | None:
    """Its version; None where there is no entry."""
    return None if entry is None else entry.version


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
