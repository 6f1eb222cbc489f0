"""Stage `sft_adapter`: a LoRA adapter trained on the rows."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from agent_assets.engines.checkpoints import last_sealed_step
from agent_assets.engines.contracts import ADAPTER_FILES, SWIFT_SFT, SftParams
from agent_assets.errors import EngineFailed
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
    resume_folder,
)
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.manifest import CheckEntry, EngineEntry
from agent_assets.store.retrains import RETRAIN, retrain_inputs

LOSS_FILE = "loss.jsonl"


def config(pipeline: PipelineSpec) -> Mapping[str, object]:
    """What the adapter depends on: the hyper-parameters.

    Not the device, though a GPU rounds differently from a CPU: an adapter made on one stands for
    both, and says on which.
    """
    return pipeline.config.sft_adapter.fingerprint_settings()


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    """Train, and draw the loss curve."""
    from agent_assets.evaluation.pages.plots import loss_curve

    settings = run.config.sft_adapter
    checkpoints = resume_folder(folder)
    if step := last_sealed_step(checkpoints):
        run.context.log.info(
            "An earlier run was interrupted; training goes on behind step %d", step
        )
    try:
        engine_run = run.engines.run(
            run.context,
            SWIFT_SFT,
            _params(run, folder, checkpoints),
            work_dir=folder / "logs",
            failed_logs=run.logs,
            max_minutes=settings.max_minutes,
            max_memory_gb=settings.max_memory_gb,
        )
    except EngineFailed:
        if step and last_sealed_step(checkpoints) == step:
            run.context.log.warning("No step came behind this checkpoint: the next run begins anew")
            shutil.rmtree(checkpoints)
        raise
    shutil.rmtree(checkpoints, ignore_errors=True)
    curve = [
        json.loads(line) for line in (folder / LOSS_FILE).read_text(encoding="utf-8").splitlines()
    ]
    losses = [float(point["loss"]) for point in curve]
    (folder / "plots").mkdir()
    (folder / "plots" / "loss.png").write_bytes(
        loss_curve([int(point["step"]) for point in curve], losses)
    )
    return StageResult(
        summary={
            "rows": engine_run.result.rows,
            "rows_too_long": engine_run.result.rows_too_long,
            "steps": len(curve),
            "seed": _seed(run),
            "loss_first": losses[0],
            "loss_last": losses[-1],
            "tokens": engine_run.result.tokens,
            "tokens_per_s": engine_run.result.tokens_per_s,
            "training_seconds": round(engine_run.seconds, 1),
            "peak_memory_mb": engine_run.peak_memory_bytes // 2**20,
        },
        checks=[
            loss_check(losses),
            _loads(folder),
            _fit(engine_run.result.rows, engine_run.result.rows_too_long),
        ],
        engine=EngineEntry(name="swift", versions=engine_run.result.versions),
        device=engine_run.result.device,
        weights_loaded=asdict(engine_run.result.weights_loaded),
        version_suffixes=(".safetensors",),
    )


def _params(run: StageRun, folder: Path, checkpoints: Path) -> SftParams:
    settings = run.config.sft_adapter
    return SftParams(
        model_dir=run.path("base_model"),
        train_file=run.path("train_jsonl") / "train.jsonl",
        out_dir=folder,
        seed=_seed(run),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lora_rank=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        batch_size=settings.batch_size,
        grad_accum=settings.grad_accum,
        max_length=settings.max_length,
        warmup_ratio=settings.warmup_ratio,
        precision=settings.precision,
        lora_target_modules=settings.lora_target_modules,
        checkpoint_dir=checkpoints,
        checkpoint_seconds=60 * settings.checkpoint_minutes,
    )


def _seed(run: StageRun) -> int:
    """Asked to train anew although nothing changed, it draws otherwise."""
    store: ArtifactStore = run.context.resources.store
    key = ArtifactKey(run.config.name, STAGE.name, run.partition)
    return run.config.sft_adapter.seed + int(retrain_inputs(store, key).get(RETRAIN, "0"))


def loss_check(losses: list[float]) -> CheckEntry:
    """Whether every loss is finite and the last fifth of the steps is, on average, below the first
    fifth.
    """
    finite = bool(losses) and all(math.isfinite(loss) for loss in losses)
    part = max(1, len(losses) // 5)
    falling = finite and sum(losses[-part:]) <= sum(losses[:part])
    return CheckEntry(
        name="loss_falls",
        passed=falling,
        description=f"{len(losses)} steps" + ("" if finite else ", not all finite"),
        metadata={"first": losses[0], "last": losses[-1]} if finite else {},
    )


def _fit(rows: int, too_long: int) -> CheckEntry:
    left_out = f"{too_long} of {rows} rows are longer than sft_adapter.max_length and were left out"
    return CheckEntry(name="rows_fit", passed=not too_long, blocking=False, description=left_out)


def _loads(folder: Path) -> CheckEntry:
    written = all((folder / name).is_file() for name in ADAPTER_FILES)
    return CheckEntry(name="adapter_complete", passed=written)


STAGE = Stage(
    name="sft_adapter",
    description="LoRA adapter trained on train.jsonl, with its loss curve. Version: hash of the "
    "weights.",
    deps=("base_model", "train_jsonl"),
    kinds=frozenset({"pytorch", "huggingface"}),
    code_version="2",
    config=config,
    build=build,
    checks=(
        Check(
            "loss_falls",
            "Every loss is finite, and the loss at the end is below the one at the start.",
        ),
        Check(
            "rows_fit", "No row was left out because it is longer than max_length.", blocking=False
        ),
        Check(
            "adapter_complete",
            "Adapter weights and configuration are there; merging proves that they load.",
        ),
    ),
    gpu=True,
    draws=True,
)
