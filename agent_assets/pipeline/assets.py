"""From a pipeline's configuration to Dagster assets: one asset per stage, with its tags, pool and
checks.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from agent_assets.conversations.messages import JsonObject
from agent_assets.pipeline.exporting import exported_model
from agent_assets.pipeline.materialize import materialize_stage
from agent_assets.pipeline.stage import ELDER_PARTITIONS, PipelineSpec, Stage, present_stages
from agent_assets.pipeline.stages import (
    base_model,
    elder_memories,
    eval_report,
    mcp_tool_schema,
    merged_model,
    questions,
    release,
    rl_checkpoint,
    rl_merged_model,
    sft_adapter,
    train_jsonl,
)
from agent_assets.planning.fingerprint import config_version
from agent_assets.planning.history import PIPELINE_TAG
from agent_assets.runs.device_queue import GPU_POOL

ELDERS = dg.DynamicPartitionsDefinition(name=ELDER_PARTITIONS)

# In the order they run.
STAGES: tuple[Stage, ...] = (
    base_model.STAGE,
    mcp_tool_schema.STAGE,
    questions.STAGE,
    elder_memories.STAGE,
    train_jsonl.STAGE,
    sft_adapter.STAGE,
    merged_model.STAGE,
    rl_checkpoint.STAGE,
    rl_merged_model.STAGE,
    eval_report.STAGE,
    release.STAGE,
    exported_model.STAGE,
)


def pipeline_stages(pipeline: PipelineSpec) -> dict[str, Stage]:
    """The stages of a pipeline by name, in the order they run."""
    return present_stages(STAGES, pipeline)


def build_assets(pipeline: PipelineSpec) -> list[dg.AssetsDefinition]:
    """All assets of one pipeline."""
    stages = pipeline_stages(pipeline)
    return [build_asset(stage, pipeline, stages) for stage in stages.values()]


def build_asset(
    stage: Stage, pipeline: PipelineSpec, stages: Mapping[str, Stage]
) -> dg.AssetsDefinition:
    """One stage as an asset of a pipeline whose stages are `stages` (see `present_stages`)."""
    key = pipeline.key(stage.name)

    spec = dg.AssetSpec(
        key,
        deps=[pipeline.key(name) for name in stage.deps],
        description=stage.description,
        group_name=pipeline.config.name,
        kinds=set(stage.kinds),
        owners=pipeline.config.owners,
        code_version=config_version(stage.code_version, stage.config(pipeline)),
        partitions_def=ELDERS if pipeline.partitioned and stage.partitioned else None,
        tags={PIPELINE_TAG: pipeline.config.name, "agent_assets/stage": stage.name}
        | _gpu_tag(stage),
        skippable=True,
    )

    # Only an asset that may be left out of its own run can be skipped: hence multi_asset and
    # can_subset for one asset.
    @dg.multi_asset(
        name="__".join(key.path),
        specs=[spec],
        can_subset=True,
        pool=GPU_POOL if stage.gpu else None,
        op_tags=_op_tags(stage, pipeline),
        check_specs=[
            dg.AssetCheckSpec(
                check.name, asset=key, description=check.description, blocking=check.blocking
            )
            for check in (*stage.checks, *stage.post_build_checks)
        ],
        required_resource_keys={"store", "mongo", "engines"},
        # No backfill policy: Dagster then makes one run per elder. A run over several would record
        # one combined version of their inputs for all of them.
    )
    def artifact(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[object]]:
        result = materialize_stage(stage, pipeline, stages, context)
        if result is not None:
            yield result

    return artifact


def _gpu_tag(stage: Stage) -> dict[str, str]:
    return {"agent_assets/gpu": "true"} if stage.gpu else {}


def _op_tags(stage: Stage, pipeline: PipelineSpec) -> JsonObject:
    if not stage.gpu:
        return {}
    limits = {"nvidia.com/gpu": str(pipeline.config.gpu.count)}
    return {
        "dagster-k8s/config": {"container_config": {"resources": {"limits": limits}}}
    } | _gpu_tag(stage)
