"""The plan: for every (asset, partition), is it fresh, stale or missing, why, and which runs make
it fresh.

Freshness is one comparison: the fingerprint of the latest materialization against the fingerprint
the same artifact would get now, from the recorded versions of its parents, the current digests of
its sources, today's code and
configuration. What follows from a parent that will be rebuilt is told apart: it may come out
identical.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent_assets.conversations.messages import canonical_json
from agent_assets.planning.asset_partitions import (
    AssetPartition,
    Cause,
    CauseKind,
    FanOut,
    Plan,
    PlannedRun,
    Status,
)
from agent_assets.planning.facts import (
    NO_INPUTS,
    Latest,
    Materialization,
    PipelineFacts,
    SourceVersions,
    StageFacts,
)
from agent_assets.planning.fingerprint import FingerprintTemplate
from agent_assets.planning.outdated import Outdated, descendants

InputsOf = Callable[[Iterable[int]], Mapping[int, Mapping[str, str]]]
Present = Callable[[str, str, str | None, str], bool]  # pipeline, asset, partition, fingerprint


def make_plan(
    pipelines: Iterable[PipelineFacts],
    latest: Mapping[tuple[str, str], Latest],
    sources: Mapping[str, SourceVersions],
    *,
    inputs_of: InputsOf,
    incarnations: Mapping[str, int] | None = None,
    present: Present | None = None,
) -> Plan:
    """Compare what was built with what would be built now.

    Args:
        pipelines: what there is to build.
        latest: latest materializations by (pipeline, asset) and partition.
        sources: current digests of sources by pipeline, then (stage, partition).
        inputs_of: reads the recorded inputs of materializations, by event id.
        incarnations: how often an elder of this id was removed before, by partition; absent means
            never.
        present: whether the store still has an artifact; None trusts that it has.
    """
    facts = tuple(pipelines)
    parts = [
        _PipelinePlan(
            pipeline, latest, sources.get(pipeline.name, {}), inputs_of, incarnations or {}, present
        )
        for pipeline in facts
    ]
    for part in parts:
        part.work()
    return Plan(
        asset_partitions=tuple(entry for part in parts for entry in part.asset_partitions),
        runs=tuple(run for part in parts for run in part.runs),
        fan_outs=tuple(fan_out for part in parts for fan_out in part.fan_outs()),
        fresh=sum(part.fresh for part in parts),
        pipelines=facts,
    )


@dataclass
class _PipelinePlan:
    pipeline: PipelineFacts
    latest: Mapping[tuple[str, str], Latest]
    sources: SourceVersions
    inputs_of: InputsOf
    incarnations: Mapping[str, int]
    present: Present | None
    asset_partitions: list[AssetPartition] = field(default_factory=list)
    runs: list[PlannedRun] = field(default_factory=list)
    fresh: int = 0
    _outdated: list[Outdated] = field(default_factory=list)
    _drafts: list[tuple[str, str | None, Status, list[Cause], bool, Materialization | None]] = (
        field(default_factory=list)
    )
    _shared_versions: dict[str, str | None] = field(default_factory=dict)
    _shared_pending: dict[str, Status] = field(default_factory=dict)

    def work(self) -> None:
        """Go through all asset partitions, parents first, then explain those that are not fresh."""
        self._versions = {stage.name: stage.config_version for stage in self.pipeline.stages}
        self._templates = {
            stage.name: FingerprintTemplate(
                asset=stage.name, code_version=stage.code_version, config=stage.config
            )
            for stage in self.pipeline.stages
        }
        self._assumed = self._assumed_sources()
        shared = [stage for stage in self.pipeline.stages if not stage.partitioned]
        own = [stage for stage in self.pipeline.stages if stage.partitioned]
        self._one(None, shared)
        for partition in self.pipeline.partitions:
            self._one(partition, own)
        self._explain()
        self.asset_partitions = [
            AssetPartition(
                self.pipeline.name, asset, partition, status, tuple(causes), own_cause, recorded
            )
            for asset, partition, status, causes, own_cause, recorded in self._drafts
        ]

    def fan_outs(self) -> list[FanOut]:
        """Shared assets that are not fresh, with what may follow."""
        fan_outs = []
        for name in self._shared_pending:
            below = descendants(self.pipeline.stages, name)
            following = sum(stage.partitioned for stage in below)
            elders = len(self.pipeline.partitions)
            fan_outs.append(
                FanOut(self.pipeline.name, name, elders if following else 0, elders * following)
            )
        return fan_outs

    def _assumed_sources(self) -> dict[tuple[str, str | None], Mapping[str, str]]:
        """What asset partitions with an unknown source read when they were built."""
        unknown = {}
        for stage in self.pipeline.stages:
            recorded = self.latest.get((self.pipeline.name, stage.name), {})
            for partition in self.pipeline.partitions if stage.partitioned else (None,):
                if (
                    stage.reads_source
                    and (stage.name, partition) not in self.sources
                    and partition in recorded
                ):
                    unknown[recorded[partition].storage_id] = (
                        stage.name,
                        partition,
                        set(stage.deps),
                    )
        inputs = self.inputs_of(unknown) if unknown else {}
        return {
            (name, partition): {
                key: value for key, value in inputs.get(event, NO_INPUTS).items() if key not in deps
            }
            for event, (name, partition, deps) in unknown.items()
        }

    def _one(self, partition: str | None, stages: list[StageFacts]) -> None:
        """All asset partitions of one elder, or the shared ones, and their run."""
        incarnation = 0 if partition is None else self.incarnations.get(partition, 0)
        versions: dict[str, str | None] = dict(self._shared_versions)
        pending = dict(self._shared_pending)
        own: set[str] = set()
        assets: list[str] = []
        base_event_id = 0
        for stage in stages:
            recorded = self.latest.get((self.pipeline.name, stage.name), {}).get(partition)
            inherited = recorded is not None and recorded.incarnation != incarnation
            status, causes = self._direct(
                stage, partition, None if inherited else recorded, versions, incarnation
            )
            if inherited:
                causes = [
                    Cause(
                        CauseKind.MISSING, None, "added again after a removal; nothing is inherited"
                    )
                ]
            base_event_id = max(base_event_id, recorded.storage_id if recorded is not None else 0)
            direct = bool(causes)
            for name in stage.deps:
                if name in pending:
                    words = "will change" if pending[name] is Status.STALE else "is not built yet"
                    causes.append(Cause(CauseKind.UPSTREAM, name, f"upstream {name} {words}"))
            versions[stage.name] = None if recorded is None or inherited else recorded.data_version
            if not causes:
                self.fresh += 1
                continue
            if direct or any(name in own for name in stage.deps):
                own.add(stage.name)
            pending[stage.name] = status if status is Status.MISSING else Status.STALE
            assets.append(stage.name)
            self._drafts.append(
                (stage.name, partition, pending[stage.name], causes, stage.name in own, recorded)
            )
        if assets:
            self.runs.append(self._run(partition, stages, assets, own, base_event_id, incarnation))
        if partition is None:
            self._shared_versions = versions
            self._shared_pending = pending

    def _direct(
        self,
        stage: StageFacts,
        partition: str | None,
        recorded: Materialization | None,
        versions: Mapping[str, str | None],
        incarnation: int,
    ) -> tuple[Status, list[Cause]]:
        """Causes that lie in the asset partition itself; the data causes follow in `_explain`."""
        if recorded is None:
            return Status.MISSING, [Cause(CauseKind.MISSING, None, "never built")]
        key = (stage.name, partition)
        current: dict[str, str] = {}
        for name in stage.deps:
            version = versions[name]
            if version is None:
                return (
                    Status.STALE,
                    [],
                )  # nothing to compare with before the parent is built: an upstream cause
            current[name] = version
        current |= self.sources.get(key) or self._assumed.get(key, NO_INPUTS)
        causes: list[Cause] = []
        if (
            self._templates[stage.name].fingerprint(partition, current, incarnation)
            != recorded.fingerprint
        ):
            self._outdated.append(Outdated(stage, recorded, current, causes))
            causes += self._code_and_config(stage, recorded)
            # A placeholder, replaced in `_explain`: an outdated asset partition always has a cause
            # of its own.
            causes.append(Cause(CauseKind.DATA, None, ""))
        elif recorded.broken:
            causes.append(
                Cause(
                    CauseKind.MISSING, None, f"the last build failed its checks: {recorded.broken}"
                )
            )
        elif self.present is not None and not self.present(
            self.pipeline.name, stage.name, partition, recorded.fingerprint
        ):
            return Status.MISSING, [
                Cause(CauseKind.MISSING, None, "its artifact, or a release's pointer, is lost")
            ]
        return Status.STALE, causes

    def _code_and_config(self, stage: StageFacts, recorded: Materialization) -> list[Cause]:
        """`config_version` is the code version, a dash, and a hash of the configuration."""
        if recorded.code_version == self._versions[stage.name]:
            return []
        old_code, _, old_config = recorded.code_version.rpartition("-")
        _, _, new_config = self._versions[stage.name].rpartition("-")
        causes = []
        if old_code != stage.code_version:
            words = f"code of stage {stage.name} changed"
            causes.append(Cause(CauseKind.CODE, None, words, old_code, stage.code_version))
        if old_config != new_config:
            words = f"configuration of {stage.name} changed"
            causes.append(Cause(CauseKind.CONFIG, None, words, old_config, new_config))
        return causes

    def _explain(self) -> None:
        """Which inputs of the outdated asset partitions have other versions."""
        inputs = (
            self.inputs_of([item.recorded.storage_id for item in self._outdated])
            if self._outdated
            else {}
        )
        for item in self._outdated:
            before = inputs.get(item.recorded.storage_id, NO_INPUTS)
            changed = [
                Cause(
                    CauseKind.DATA,
                    name,
                    f"{name} changed",
                    before.get(name, ""),
                    item.versions.get(name, ""),
                )
                for name in sorted(set(before) | set(item.versions))
                if before.get(name) != item.versions.get(name)
            ]
            place = next(i for i, cause in enumerate(item.causes) if not cause.detail)
            if not changed and place == 0:
                changed = [Cause(CauseKind.CODE, None, "built by another release of agent-assets")]
            item.causes[place : place + 1] = changed

    def _run(
        self,
        partition: str | None,
        stages: list[StageFacts],
        assets: list[str],
        own: set[str],
        base_event_id: int,
        incarnation: int,
    ) -> PlannedRun:
        gpu = {stage.name for stage in stages if stage.gpu}
        sources = {
            stage.name: dict(self.sources.get((stage.name, partition)) or {})
            for stage in stages
            if stage.reads_source or (stage.name, partition) in self.sources
        }
        target = {
            "stages": {stage.name: self._versions[stage.name] for stage in stages},
            "shared": {} if partition is None else self._shared_versions,
            "sources": sources,
            "generation": incarnation,
        }
        return PlannedRun(
            pipeline=self.pipeline.name,
            partition=partition,
            assets=tuple(assets),
            own_assets=tuple(name for name in assets if name in own),
            target_digest=hashlib.sha256(canonical_json(target).encode()).hexdigest()[:16],
            base_event_id=base_event_id,
            gpu=not gpu.isdisjoint(assets),
            waits=partition is not None and bool(self._shared_pending),
            new=base_event_id == 0,
        )
