"""Early cut-off inside a run: a stage whose parents came out identical, and with which nothing
changes, is skipped.
"""

from collections.abc import Mapping

import dagster as dg

from agent_assets.errors import CorruptArtifact
from agent_assets.pipeline.stage import PipelineSpec, Stage
from agent_assets.planning.fingerprint import fingerprint
from agent_assets.planning.history import Recorded, latest_materialization
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.retrains import retrain_inputs


def nothing_follows(
    stage: Stage,
    pipeline: PipelineSpec,
    stages: Mapping[str, Stage],
    context: dg.AssetExecutionContext,
    store: ArtifactStore,
    key: ArtifactKey,
    digest: str,
    incarnation: int,
) -> bool:
    """Whether this stage and everything after it in this run are already what they would become.

    Dagster skips all steps after a skipped one. A later step may have other parents that did
    change, so a stage is only skipped when every one of them is fresh too; else it is reused, at no
    cost either.

    Args:
        digest: fingerprint of the stage, from its parents as they are now.
        incarnation: incarnation of the elder.
    """
    states = _States(pipeline, context.instance, store, key.partition, incarnation)
    if not states.usable(stage, digest):
        return False
    selected = {asset.path[-1] for asset in context.job_def.asset_layer.executable_asset_keys}
    below = [
        other
        for other in stages.values()
        if other.name in selected and stage.name in ancestors(other, stages)
    ]
    settled = {stage.name, *ancestors(stage, stages), *(other.name for other in below)}
    for other in below:
        parents = [stages[name] for name in other.deps]
        # A source is not looked at twice, and a parent outside this branch may still be waiting to
        # be rebuilt.
        if other.read_source is not None or any(
            p.name in selected and p.name not in settled for p in parents
        ):
            return False
        versions = {parent.name: states.version(parent) for parent in parents}
        known = {name: version for name, version in versions.items() if version is not None}
        expected = fingerprint(
            asset=other.name,
            partition=states.partition_of(other),
            code_version=other.code_version,
            inputs=known | (retrain_inputs(store, key) if other.draws else {}),
            config=other.config(pipeline),
            incarnation=incarnation,
        )
        if len(known) != len(versions) or not states.usable(other, expected):
            return False
    return True


def ancestors(stage: Stage, stages: Mapping[str, Stage]) -> set[str]:
    """Names of all stages that `stage` is made from, directly or not."""
    names: set[str] = set()
    waiting = list(stage.deps)
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += stages[name].deps
    return names


class _States:
    """The latest materializations of one elder's stages."""

    def __init__(
        self,
        pipeline: PipelineSpec,
        instance: dg.DagsterInstance,
        store: ArtifactStore,
        partition: str | None,
        incarnation: int,
    ) -> None:
        self._pipeline, self._instance, self._store = pipeline, instance, store
        self._partition, self._incarnation = partition, incarnation

    def partition_of(self, stage: Stage) -> str | None:
        return self._partition if stage.partitioned else None

    def version(self, stage: Stage) -> str | None:
        recorded = self._recorded(stage)
        return None if recorded is None else recorded.data_version

    def usable(self, stage: Stage, digest: str) -> bool:
        """Whether the latest materialization has this fingerprint and its artifact is there and
        sound.
        """
        recorded = self._recorded(stage)
        if recorded is None or recorded.fingerprint != digest:
            return False
        key = ArtifactKey(self._pipeline.config.name, stage.name, self.partition_of(stage))
        try:
            artifact = self._store.find(key, digest)
        except CorruptArtifact:
            return False
        return artifact is not None and not artifact.broken_checks

    def _recorded(self, stage: Stage) -> Recorded | None:
        partition = self.partition_of(stage)
        recorded = latest_materialization(self._instance, self._pipeline.key(stage.name), partition)
        if recorded is None or (
            partition is not None and recorded.incarnation != self._incarnation
        ):
            return None
        return recorded
