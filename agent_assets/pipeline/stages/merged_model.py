"""Stage `merged_model`: base weights with the adapter merged in, and the proof that nothing else
changed.

The stage `rl_merged_model` is the same for the adapter of reinforcement learning.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from agent_assets.engines.contracts import SWIFT_MERGE, MergeParams
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
    always,
)
from agent_assets.store.manifest import CheckEntry, EngineEntry


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the merged model depends on."""
    return pipeline.config.merged_model.fingerprint_settings()


def merge_adapter(run: StageRun, folder: Path, adapter: str) -> StageResult:
    """Merge, and compare the logits of merged and base + adapter on fixed prompts."""
    settings = run.config.merged_model
    engine_run = run.engines.run(
        run.context,
        SWIFT_MERGE,
        MergeParams(
            model_dir=run.path("base_model"), adapter_dir=run.path(adapter), out_dir=folder
        ),
        work_dir=folder / "logs",
        failed_logs=run.logs,
        max_minutes=settings.max_minutes,
        max_memory_gb=settings.max_memory_gb,
    )
    parity = engine_run.result.parity
    equal = (
        parity.max_logit_difference <= settings.max_logit_difference
        and parity.token_agreement == 1.0
    )
    return StageResult(
        summary={
            "max_logit_difference": parity.max_logit_difference,
            "token_agreement": parity.token_agreement,
            "stored_dtype": parity.stored_dtype,
            "stored_token_agreement": parity.stored_token_agreement,
            "tokens": engine_run.result.tokens,
            "tokens_per_s": engine_run.result.tokens_per_s,
            "peak_memory_mb": engine_run.peak_memory_bytes // 2**20,
            "merge_seconds": round(engine_run.seconds, 1),
        },
        checks=[
            CheckEntry(
                name="adapter_loads",
                passed=True,
                description="the adapter loaded on this base model",
            ),
            CheckEntry(
                name="parity",
                passed=equal and parity.files_exact,
                metadata=asdict(parity),
                description=f"largest logit difference {parity.max_logit_difference:.2e} in "
                "float32; the files hold "
                f"{'' if parity.files_exact else 'NOT '}exactly these weights in "
                f"{parity.stored_dtype}",
            ),
        ],
        engine=EngineEntry(name="swift", versions=engine_run.result.versions),
        device=engine_run.result.device,
        weights_loaded=asdict(engine_run.result.weights_loaded),
        version_suffixes=(".safetensors", ".jinja"),
    )


def merging_stage(
    *, name: str, adapter: str, description: str, present: Callable[[PipelineSpec], bool] = always
) -> Stage:
    """A stage that merges the adapter of the stage `adapter` into the base model, where both are
    `present`.
    """

    def build(run: StageRun, source: Source, folder: Path) -> StageResult:
        return merge_adapter(run, folder, adapter)

    return Stage(
        name=name,
        description=description,
        deps=("base_model", adapter),
        kinds=frozenset({"pytorch", "huggingface"}),
        code_version="2",
        config=config,
        build=build,
        checks=(
            Check("adapter_loads", "The adapter loads on this base model."),
            Check(
                "parity",
                "Merged equals base + adapter in float32: logits within tolerance, the same most "
                "likely tokens; "
                "and the files hold exactly those weights in the type of the base model.",
            ),
        ),
        gpu=True,
        present=present,
    )


STAGE = merging_stage(
    name="merged_model",
    adapter="sft_adapter",
    description="Base weights with the adapter merged in, as safetensors with tokenizer and chat "
    "template. Proven "
    "equal to base + adapter on fixed prompts.",
)
