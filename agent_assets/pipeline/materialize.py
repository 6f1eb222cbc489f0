"""How every stage is materialized: look the fingerprint up, reuse what is there, build what is
not.
"""

import time
from collections.abc import Mapping

import dagster as dg

from agent_assets.agent.weave_tracing import WeaveTracing
from agent_assets.errors import ConfigError, CorruptArtifact, StoreError
from agent_assets.pipeline.cutoff import nothing_follows
from agent_assets.pipeline.result import make_manifest, materialize_result
from agent_assets.pipeline.stage import (
    PipelineSpec,
    Source,
    Stage,
    StageRun,
)
from agent_assets.planning.explain import UNCHANGED, explain_change
from agent_assets.planning.fingerprint import fingerprint, source_version
from agent_assets.planning.history import (
    ELDER_TAG,
    PIPELINE_TAG,
    WANTED_TAG,
    latest_materialization,
)
from agent_assets.priority import RUN_NICENESS, RUN_PRIORITY
from agent_assets.runs.orphans import process_tag
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import llm_folder, trace_file
from agent_assets.store.retrains import retrain_inputs
from agent_assets.store.tombstones import incarnation_of

GPU_TAG = "agent_assets/gpu"


def materialize_stage(
    stage: Stage,
    pipeline: PipelineSpec,
    stages: Mapping[str, Stage],
    context: dg.AssetExecutionContext,
) -> dg.MaterializeResult[object] | None:
    """Body of every asset: build the artifact of one stage (and partition), or reuse it from the
    store.

    Args:
        stage: what to materialize.
        stages: all stages of the pipeline by name, as `present_stages` gives them.

    Returns:
        None in a run that was planned, when the parents came out identical and nothing after this
        stage changes.

    Raises:
        AgentAssetsError: an input is missing or broken, a source cannot be read, or the stage
            itself failed.
    """
    store: ArtifactStore = context.resources.store
    partition = _partition(context) if stage.partitioned else None
    _expect_device(stage, pipeline, stages, context)
    _tag_run(context, stage, pipeline, partition)
    deps = {name: stages[name] for name in stage.deps}
    incarnation = incarnation_of(store, partition)
    run = StageRun(
        context=context,
        pipeline=pipeline,
        partition=partition,
        inputs=_inputs(store, pipeline, deps, partition, context, incarnation),
        mongo=context.resources.mongo,
        engines=context.resources.engines,
        tracing=WeaveTracing(wandb_project=load_settings().wandb_project),
        trace_file=trace_file(store, pipeline.config.name, partition),
        llm_folder=llm_folder(store, pipeline.config.name, partition),
        incarnation=incarnation,
    )
    source = Source(versions={}) if stage.read_source is None else stage.read_source(run)
    config = dict(stage.config(pipeline))
    versions = {name: artifact.manifest.data_version for name, artifact in run.inputs.items()}
    versions |= {name: source_version(digest) for name, digest in source.versions.items()}
    key = ArtifactKey(pipeline.config.name, stage.name, partition)
    if stage.draws:
        versions |= retrain_inputs(store, key)
    digest = fingerprint(
        asset=stage.name,
        partition=partition,
        code_version=stage.code_version,
        inputs=versions,
        config=config,
        incarnation=incarnation,
    )
    if WANTED_TAG in context.run.tags and nothing_follows(
        stage, pipeline, stages, context, store, key, digest, incarnation
    ):
        context.log.info(
            "%s: code, configuration and inputs came out as before; skipped with what follows", key
        )
        return None
    why = _why(store, key, context, stage, versions, config, incarnation)
    with store.staging(key, digest) as folder:
        reusable, damage = _reusable(store, key, digest)
        if reusable is not None:
            return materialize_result(reusable, stage, run, incarnation, reused=True, why=UNCHANGED)
        for artifact in run.inputs.values():
            store.verify(artifact)
        started = time.monotonic()
        result = stage.build(run, source, folder)
        manifest = make_manifest(
            key, digest, stage, versions, config, result, folder, time.monotonic() - started
        )
        artifact = store.commit(key, folder, manifest)
    return materialize_result(artifact, stage, run, incarnation, reused=False, why=damage or why)


def _partition(context: dg.AssetExecutionContext) -> str | None:
    """The elder of this run, None in a pipeline without elders."""
    if context.has_partition_key:
        return str(context.partition_key)
    if not context.has_partition_key_range:
        return None
    elders = context.partition_key_range
    if elders.start != elders.end:
        raise ConfigError(
            f"One run over several elders ({elders.start} to {elders.end}) is not possible.",
            next_step="start a backfill, which makes one run per elder.",
        )
    return str(elders.start)


def _tag_run(
    context: dg.AssetExecutionContext, stage: Stage, pipeline: PipelineSpec, partition: str | None
) -> None:
    tags = {PIPELINE_TAG: pipeline.config.name} | process_tag(context.run.run_id)
    if partition is not None:
        tags[ELDER_TAG] = partition
    if stage.gpu:
        tags[GPU_TAG] = "true"
    missing = {name: value for name, value in tags.items() if context.run.tags.get(name) != value}
    if missing and context.instance.has_run(context.run.run_id):
        context.instance.add_run_tags(context.run.run_id, missing)


def _expect_device(
    stage: Stage,
    pipeline: PipelineSpec,
    stages: Mapping[str, Stage],
    context: dg.AssetExecutionContext,
) -> None:
    """Tell the engines which stages of this run need the device, so that it is kept for them. A run
    that needs no device has no turn to wait for.
    """
    selected = context.run.asset_selection
    on_device = [
        name
        for name, other in stages.items()
        if other.gpu and (selected is None or pipeline.key(name) in selected)
    ]
    engines = context.resources.engines
    if not on_device:
        RUN_PRIORITY.take_turn(RUN_NICENESS)
    elif engines is not None:
        engines.expect_device(context, stage.name, on_device)


def _inputs(
    store: ArtifactStore,
    pipeline: PipelineSpec,
    deps: Mapping[str, Stage],
    partition: str | None,
    context: dg.AssetExecutionContext,
    incarnation: int,
) -> dict[str, Artifact]:
    """The artifact of the latest materialization of every upstream asset, of this incarnation of
    the elder.
    """
    artifacts = {}
    for name, stage in deps.items():
        key = ArtifactKey(pipeline.config.name, name, partition if stage.partitioned else None)
        recorded = latest_materialization(context.instance, pipeline.key(name), key.partition)
        if recorded is not None and stage.partitioned and recorded.incarnation != incarnation:
            recorded = None
        artifact = None if recorded is None else store.find(key, recorded.fingerprint)
        if artifact is None:
            what = "was never materialized" if recorded is None else "is not in the store any more"
            raise StoreError(
                f"{key} {what}.",
                next_step=f"materialize {key} first, or select it together with this asset.",
            )
        if artifact.broken_checks:
            raise StoreError(
                f"{key} failed its blocking checks: {', '.join(artifact.broken_checks)}.",
                next_step=f"fix the cause and materialize {key} again.",
            )
        artifacts[name] = artifact
    return artifacts


def _reusable(
    store: ArtifactStore, key: ArtifactKey, digest: str
) -> tuple[Artifact | None, str | None]:
    """The intact artifact of a fingerprint, or None with the reason when one was there but cannot
    be used.
    """
    try:
        artifact = store.find(key, digest) or store.adopt(key, digest)
        if artifact is None:
            return None, None
        store.verify(artifact)
    except CorruptArtifact as error:
        aside = store.set_aside(key, digest)
        return (
            None,
            f"damaged in the store, rebuilt ({error.message} The damaged copy is kept as "
            f"{aside.name}.)",
        )
    if artifact.broken_checks:
        return None, f"the last build failed its checks: {', '.join(artifact.broken_checks)}"
    return artifact, None


def _why(
    store: ArtifactStore,
    key: ArtifactKey,
    context: dg.AssetExecutionContext,
    stage: Stage,
    versions: Mapping[str, str],
    config: Mapping[str, object],
    incarnation: int,
) -> str:
    """In words, what changed since the latest materialization."""
    recorded = latest_materialization(
        context.instance, dg.AssetKey([key.pipeline, key.asset]), key.partition
    )
    if recorded is None:
        return "never built before"
    if recorded.incarnation != incarnation:
        return "added again after a removal; nothing is inherited"
    try:
        previous = store.find(key, recorded.fingerprint)
    except CorruptArtifact:
        return "the previous version is damaged"
    if previous is None:
        return "the previous version is not in the store any more"
    old = previous.manifest
    return explain_change(
        old_inputs=old.inputs,
        new_inputs=versions,
        old_config=old.config,
        new_config=config,
        old_code=old.code_version,
        new_code=stage.code_version,
    )
