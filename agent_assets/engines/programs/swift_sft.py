"""Program `swift_sft`: a LoRA adapter from training rows, by ms-swift.

It writes adapter_model.safetensors, adapter_config.json (no machine paths) and loss.jsonl.
`pipeline/stages/sft_adapter.py` asks for it; `engines/contracts.py` says with what.
"""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import read_json_lines
from agent_assets.conversations.rendering.rendered import RowRenderer
from agent_assets.conversations.rendering.template_environment import is_native
from agent_assets.engines.contracts import ADAPTER_CONFIG, SWIFT_SFT, SftParams, SftResult
from agent_assets.engines.programs.runtime import (
    ReportMessage,
    facts,
    loaded_weights,
    report_progress,
    run_under_pipes,
    write_json,
)
from agent_assets.engines.programs.swift_template import check_template, register_agent_template
from agent_assets.errors import TrainingDataError

if TYPE_CHECKING:
    from peft import PeftModel

BASE_PREFIX = "base:"
LOSS_FILE = "loss.jsonl"


def train_sft(params: SftParams, report: ReportMessage) -> SftResult:
    """Train one adapter.

    Raises:
        BaseModelError: this program cannot train the base model's folder.
        TrainingDataError: no row fits into `max_length`.
        EngineFailed: the loss is NaN or infinite.
    """
    model_dir, out_dir = params.model_dir, params.out_dir
    native = is_native(check_template(model_dir))
    rows = read_json_lines(params.train_file)
    out_dir.mkdir(parents=True, exist_ok=True)
    clock = [time.monotonic()]
    report_progress(report, "load")

    from agent_assets.engines.programs.swift_trainer import Sft, sft_arguments

    scratch = out_dir / "scratch"
    pipeline = Sft(sft_arguments(params, agent_template=register_agent_template(), scratch=scratch))
    weights = loaded_weights(model_dir, pipeline.model)
    clock.append(time.monotonic())
    report_progress(report, "encode")
    too_long = pipeline.encode(rows, RowRenderer(model_dir) if native else None)
    if not pipeline.encoded:
        raise TrainingDataError(
            f"None of the {len(rows)} training rows fits into {params.max_length} tokens.",
            next_step="Raise `sft_adapter.max_length`, or make the rows shorter.",
        )
    clock.append(time.monotonic())
    checkpoint_seconds = params.checkpoint_seconds if params.checkpoint_dir else None
    trainer = pipeline.fit(report, out_dir / LOSS_FILE, checkpoint_seconds)
    clock.append(time.monotonic())
    report_progress(
        report, "save", step=trainer.state.global_step, total_steps=trainer.state.max_steps
    )
    save_adapter(trainer.model, out_dir, weights.sha256)
    shutil.rmtree(scratch, ignore_errors=True)
    clock.append(time.monotonic())
    losses = [point.loss for point in pipeline.history]
    return SftResult(
        rows=len(rows),
        rows_too_long=too_long,
        steps=trainer.state.global_step,
        tokens=pipeline.tokens,
        tokens_per_s=round(pipeline.speed, 1),
        loss_first=losses[0],
        loss_last=losses[-1],
        seconds={
            name: round(end - start, 2)
            for name, start, end in zip(
                ("load", "encode", "train", "save"), clock, clock[1:], strict=False
            )
        },
        kernels=pipeline.kernels,
        weights_loaded=weights,
        **facts("torch", "transformers", "peft", "ms-swift"),
    )


def save_adapter(model: "PeftModel", out_dir: Path, base_sha256: str) -> None:
    """Save with peft, then name the base by its content: a path of this machine means nothing
    elsewhere.
    """
    model.save_pretrained(str(out_dir), selected_adapters=["default"])
    for name in ("README.md", "additional_config.json"):
        (out_dir / name).unlink(missing_ok=True)
    config = json.loads((out_dir / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = BASE_PREFIX + base_sha256[:12]
    config["target_modules"] = sorted(
        config["target_modules"]
    )  # a set: its order changes from run to run
    write_json(out_dir / ADAPTER_CONFIG, config)


if __name__ == "__main__":
    run_under_pipes(SWIFT_SFT, train_sft)
