"""Causes in words a person understands: the plan knows which input changed, the store knows what
was in it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from agent_assets.conversations.memories import (
    MEMORIES_FILE,
    PROFILE_FILE,
    ElderProfile,
    Memory,
    read_memories,
    read_profile,
)
from agent_assets.conversations.tools import read_snapshot
from agent_assets.errors import CorruptArtifact
from agent_assets.planning.asset_partitions import AssetPartition, Cause, CauseKind, Plan
from agent_assets.planning.changes import memory_changes, tool_changes
from agent_assets.planning.explain import config_changes
from agent_assets.reviews.decisions import decisions_changed
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.retrains import RETRAIN

MEMORIES = "elder_memories"
TOOLS = "mcp_tool_schema"
REVIEWS = "reviews"
SNAPSHOT_FILE = "tool_schema.json"
_LONGEST = 120
_HASH = re.compile(r"\S+ (?:[0-9a-f]{32,}|None) -> (?:[0-9a-f]{32,}|None)")
_PLAIN = {
    "weights": "base model weights changed",
    "base_model": "base model changed",
    "mongodb": "memories changed",
    RETRAIN: "a person asked to train it anew",
}

# An elder's memories as they are now: (elder, profile, memories).
CurrentMemories = Callable[[str, list[str]], Iterator[tuple[str, ElderProfile, Iterable[Memory]]]]


@dataclass
class Describer:
    """Finds words for causes.

    Args:
        store: where the artifacts that were built from the old state are.
        current_memories: reads elders of a pipeline from the source.
        current_tools: canonical schema snapshot by pipeline, as the servers answer now.
        limit: elders whose memories are compared one by one; of more it is only said that they
            changed.
    """

    store: ArtifactStore
    current_memories: CurrentMemories
    current_tools: Mapping[str, str]
    limit: int = 200

    def describe(self, plan: Plan) -> Plan:
        """The plan with better words."""
        descriptions = _Descriptions(self, plan)
        return replace(
            plan,
            asset_partitions=tuple(descriptions.entry(entry) for entry in plan.asset_partitions),
        )


class _Descriptions:
    def __init__(self, describer: Describer, plan: Plan) -> None:
        self._from = describer
        self._plan = plan
        self._configs = {
            (p.name, stage.name): stage.config for p in plan.pipelines for stage in p.stages
        }
        self._seen: dict[tuple[str, ...], str] = {}
        self._compared = 0

    def entry(self, entry: AssetPartition) -> AssetPartition:
        causes = tuple(self._cause(entry, cause) for cause in entry.causes)
        return entry if causes == entry.causes else replace(entry, causes=causes)

    def _cause(self, entry: AssetPartition, cause: Cause) -> Cause:
        words: str | None = None
        if cause.kind is CauseKind.CONFIG and entry.recorded is not None:
            # All elders that were built with one configuration share one answer.
            key = (entry.pipeline, entry.asset, entry.recorded.code_version)
            if key not in self._seen:
                self._seen[key] = self._config(entry) or cause.detail
            words = self._seen[key]
        elif cause.kind is CauseKind.DATA and cause.input in ("servers", TOOLS):
            tools = (entry.pipeline, TOOLS, cause.old, cause.new)
            if tools not in self._seen:
                self._seen[tools] = self._tools(entry, cause) or "tools changed"
            words = self._seen[tools]
        elif cause.kind is CauseKind.DATA and cause.input == "mongodb":
            words = self._memories.get((entry.pipeline, str(entry.partition)))
        elif cause.kind is CauseKind.DATA and cause.input == MEMORIES:
            words = self._rebuilt_memories(entry, cause)
        elif cause.kind is CauseKind.DATA and cause.input == REVIEWS:
            words = f"because of {decisions_changed(cause.old, cause.new)}"
        if words is None and cause.kind is CauseKind.DATA:
            words = _PLAIN.get(cause.input or "")
        return cause if words is None else replace(cause, detail=words)

    def _config(self, entry: AssetPartition) -> str | None:
        artifact = self._recorded(entry)
        if artifact is None:
            return None
        changes = config_changes(
            artifact.manifest.config, self._configs[entry.pipeline, entry.asset]
        )
        named = [_short(change) for change in changes]
        return "; ".join(f"{entry.asset}.{change}" for change in named) or None

    def _tools(self, entry: AssetPartition, cause: Cause) -> str | None:
        old = (
            self._recorded(entry)
            if cause.input == "servers"
            else self._version(entry.pipeline, TOOLS, None, cause.old)
        )
        if cause.input == "servers":
            new = self._from.current_tools.get(entry.pipeline)
        else:
            built = self._version(entry.pipeline, TOOLS, None, cause.new)
            new = None if built is None else _file(built, SNAPSHOT_FILE)
        before = None if old is None else _file(old, SNAPSHOT_FILE)
        return (
            None
            if before is None or new is None
            else tool_changes(read_snapshot(before), read_snapshot(new))
        )

    @cached_property
    def _memories(self) -> dict[tuple[str, str], str]:
        """Words by (pipeline, elder) for elders whose source moved, the first `limit` of them."""
        stale: dict[str, dict[str, AssetPartition]] = {}
        for entry in self._plan.asset_partitions:
            if any(
                cause.kind is CauseKind.DATA and cause.input == "mongodb" for cause in entry.causes
            ):
                stale.setdefault(entry.pipeline, {})[str(entry.partition)] = entry
        words = {}
        for pipeline, elders in stale.items():
            chosen = sorted(elders)[: self._from.limit]
            for elder, profile, memories in self._from.current_memories(pipeline, chosen):
                old = self._recorded(elders[elder])
                if old is not None:
                    words[pipeline, elder] = _compare(old, profile, memories)
        return words

    def _rebuilt_memories(self, entry: AssetPartition, cause: Cause) -> str | None:
        self._compared += 1
        if self._compared > self._from.limit:
            return "memories changed"
        old = self._version(entry.pipeline, MEMORIES, entry.partition, cause.old)
        new = self._version(entry.pipeline, MEMORIES, entry.partition, cause.new)
        if (
            old is None
            or new is None
            or _file(new, MEMORIES_FILE) is None
            or _file(new, PROFILE_FILE) is None
        ):
            return "memories changed"
        return _compare(old, read_profile(new.path), read_memories(new.path))

    def _recorded(self, entry: AssetPartition) -> Artifact | None:
        if entry.recorded is None:
            return None
        return self._find(
            ArtifactKey(entry.pipeline, entry.asset, entry.partition), entry.recorded.fingerprint
        )

    def _version(
        self, pipeline: str, asset: str, partition: str | None, data_version: str
    ) -> Artifact | None:
        """A stored version of an artifact with this content."""
        key = ArtifactKey(pipeline, asset, partition)
        artifacts = (self._find(key, fingerprint) for fingerprint in self._from.store.versions(key))
        return next(
            (
                artifact
                for artifact in artifacts
                if artifact is not None and artifact.manifest.data_version == data_version
            ),
            None,
        )

    def _find(self, key: ArtifactKey, fingerprint: str) -> Artifact | None:
        try:
            return self._from.store.find(key, fingerprint)
        except CorruptArtifact:
            return None  # there are other words; the run reports and rebuilds it


def _compare(old: Artifact, profile: ElderProfile, memories: Iterable[Memory]) -> str:
    if any(_file(old, name) is None for name in (MEMORIES_FILE, PROFILE_FILE)):
        return "memories changed"
    return memory_changes(
        read_memories(old.path), memories, old_profile=read_profile(old.path), new_profile=profile
    )


def _file(artifact: Artifact, name: str) -> str | None:
    """Text of a file of an artifact, None when somebody removed it: the run reports that and
    rebuilds the artifact.
    """
    path = artifact.path / name
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _short(change: str) -> str:
    """`name old -> new`; of a hash or a long text only that it changed. `x_sha256` is the hash of a
    file `x`.
    """
    match = _HASH.fullmatch(change)
    if match is None and len(change) <= _LONGEST:
        return change
    return f"{change.split(' ', 1)[0].removesuffix('_sha256')} changed"
