"""Released agents as serving finds them: from the pointers and the store, without Dagster."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_assets.errors import (
    BaseModelError,
    CorruptArtifact,
    ReleaseError,
    ServingError,
    StoreError,
)
from agent_assets.release.pointer import (
    current_entry,
    judged_folders,
    read_ledger,
    release_key,
    released_agents,
    released_folders,
)
from agent_assets.release.records import Agent, Candidate, Entry, read_candidate
from agent_assets.serving.gate_decision import Decision, held_back
from agent_assets.store.artifact_store import Artifact, ArtifactStore
from agent_assets.store.partition_keys import as_partition_key, elder_id_of_key
from agent_assets.store.tombstones import is_buried

log = logging.getLogger("agent_assets.serving")
_CONTENT_NAME = re.compile(r"(.+)-[0-9a-f]{8}")
_SETTLED_NS = 2 * 10**9


class NotReleased(ServingError):
    """No such agent answers: unknown, not released, removed, or not the caller's business. All look
    the same.
    """

    def __init__(self) -> None:
        super().__init__(
            "There is no released agent of this id.",
            next_step="GET /models lists the agents you may ask.",
        )


class HeldBack(ServingError):
    """There is an agent of this id, and the gate let no version of it answer so far."""

    def __init__(self, decision: Decision, reasons: Sequence[str]) -> None:
        super().__init__(
            f"{held_back(decision, reasons)} Nobody answers yet.",
            next_step="train again when the elder told more, or read the answers and let a person "
            "promote it: `agent-assets promote`.",
        )


@dataclass(frozen=True)
class ReleasedAgent:
    """What answers as one agent now."""

    agent: Agent
    entry: Entry
    candidate: Candidate
    release: Artifact

    @property
    def id(self) -> str:
        """What callers name it by: the elder, or the pipeline of an unpartitioned one."""
        return self.agent[1]


class Released:
    """Looks agents up in one store.

    Args:
        prefix: of the names under which models are shown; callers may write it or not.
    """

    def __init__(self, store: ArtifactStore, prefix: str = "") -> None:
        self.store, self.prefix = store, prefix
        self._unreadable: set[Agent] = set()  # pointers, seen since the start
        self._corrupt: set[Agent] = set()  # release artifacts, the same
        self._verified: set[str] = set()
        self._listed: tuple[dict[str, int], list[Agent]] = {}, []

    def agents(self) -> list[Agent]:
        """All released agents, sorted by id. The folders are listed again when one of them has
        changed.
        """
        changed = self._changed_at()
        if changed and changed == self._listed[0]:
            return self._listed[1]
        agents = sorted(released_agents(self.store), key=lambda agent: (agent[1], agent[0]))
        # A change right after a listing may bear the same time as one before it.
        if changed and time.time_ns() - max(changed.values()) > _SETTLED_NS:
            self._listed = changed, agents
        return agents

    def entry(self, agent: Agent) -> Entry | None:
        """The current pointer of one agent; None where it cannot be read, which costs the others
        nothing.
        """
        try:
            entry = current_entry(self.store, agent)
        except (ReleaseError, StoreError) as error:
            if agent not in self._unreadable:
                log.error(
                    "release cannot be read",
                    extra={"fields": {"agent": "/".join(agent), "error": type(error).__name__}},
                )
            self._unreadable.add(agent)
            return None
        self._unreadable.discard(agent)
        return entry

    @property
    def damaged(self) -> set[Agent]:
        """Agents that cannot answer because a file of theirs is damaged, as far as it was seen."""
        return self._unreadable | self._corrupt

    def find(self, name: str, may_see: Callable[[Agent], bool]) -> ReleasedAgent:
        """The agent of an id (elder, pipeline), or of the content name that answers now; with or
        without the prefix of model names.

        Args:
            may_see: whether the caller may know of an agent. Nothing is read of any other: what is
                hidden must not differ from what is not there, in time or when its files are
                damaged.

        Raises:
            NotReleased: there is none that the caller may know of.
            HeldBack: there is one, and no version of it may answer.
        """
        names = dict.fromkeys((name, name.removeprefix(self.prefix)))
        for written in names:
            matched = _CONTENT_NAME.fullmatch(written)
            for agent_id in (written, matched[1] if matched else None):
                for agent in self._agents_called(agent_id, released_folders(self.store), may_see):
                    released = self._answering(agent, written, agent_id)
                    if released is not None:
                        return released
        for written in names:
            self._tell_if_held(written, may_see)
        raise NotReleased

    def _agents_called(
        self, agent_id: str | None, folders: Sequence[str], may_see: Callable[[Agent], bool]
    ) -> Iterator[Agent]:
        """The agents of an id that the caller may know of, whether they are released or not."""
        key = None if agent_id is None else as_partition_key(agent_id)
        if key is None or elder_id_of_key(key) is None:
            return
        for folder in sorted(folders):
            agent = (folder.rsplit("/", 1)[-1], key)
            if may_see(agent):
                yield agent

    def _answering(self, agent: Agent, name: str, agent_id: str | None) -> ReleasedAgent | None:
        entry = current_entry(self.store, agent)
        if entry is None or name not in (agent_id, entry.name):
            return None
        try:
            artifact = self.store.find(release_key(agent[0], entry.elder), entry.version)
            if artifact is None:
                return None
            released = ReleasedAgent(agent, entry, read_candidate(artifact.path), artifact)
        except CorruptArtifact:
            self._corrupt.add(agent)
            raise
        self._corrupt.discard(agent)
        return released

    def _tell_if_held(self, agent_id: str, may_see: Callable[[Agent], bool]) -> None:
        """An agent that a person took out of service, or whose elder was removed, is not held."""
        for agent in self._agents_called(agent_id, judged_folders(self.store), may_see):
            ledger = read_ledger(self.store, agent)
            dropped = bool(ledger.history) and ledger.history[-1].action == "drop"
            if ledger.current is None and ledger.verdicts and not dropped:
                if is_buried(self.store, agent[1]):
                    return
                raise HeldBack(ledger.verdicts[-1].decision, ledger.verdicts[-1].reasons)

    def bases(self) -> int:
        """How many base models released agents rest on. Reads a file of each agent."""
        versions = set()
        for agent in self.agents():
            if (entry := self.entry(agent)) is None:
                continue
            release = self.store.find(release_key(agent[0], entry.elder), entry.version)
            if release is not None:
                versions.add(read_candidate(release.path).parts["base"].version)
        return len(versions)

    def part(self, released: ReleasedAgent, role: str) -> Artifact:
        """One artifact of a release, compared with its manifest the first time.

        Raises:
            StoreError: it is missing.
            CorruptArtifact: its files were damaged.
        """
        part = released.candidate.parts[role]
        artifact = self.store.find(part.key(released.agent[0]), part.fingerprint)
        if artifact is None:
            raise StoreError(
                f"The {role} of {released.entry.name} is not in the store any more.",
                next_step="roll back to another version, or build and release this one again.",
            )
        stats = [(path.name, path.stat()) for path in artifact.path.iterdir()]
        state = f"{artifact.path}:{[(name, at.st_mtime_ns, at.st_size) for name, at in stats]}"
        if state not in self._verified:
            self.store.verify(artifact)
            self._verified.add(state)
        return artifact

    def adapter(self, released: ReleasedAgent) -> tuple[Path, Path, str]:
        """Folder of the adapter, folder of its base model, data version of that base.

        Raises:
            BaseModelError: the adapter was trained on other weights.
        """
        adapter, base = self.part(released, "adapter"), self.part(released, "base")
        trained_on = adapter.manifest.inputs.get("base_model")
        if trained_on != base.manifest.data_version:
            raise BaseModelError(
                f"{released.entry.name} was trained on other weights than the base model of its "
                "release.",
                next_step="build and release it again.",
            )
        return adapter.path, base.path, base.manifest.data_version

    def shown(self, entry: Entry) -> str:
        """The name of a model as callers see it."""
        return f"{self.prefix}{entry.name}"

    def _changed_at(self) -> dict[str, int]:
        """When a file last came to or went from each folder of pointers, in ns; empty where folders
        have no times.
        """
        if not self.store.local:
            return {}
        return {folder: Path(folder).stat().st_mtime_ns for folder in released_folders(self.store)}
