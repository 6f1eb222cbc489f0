"""The parts of ms-swift that `swift_sft` puts together: arguments, pipeline, progress. Needs the
engine environment.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from peft import PeftModel
from swift import SftArguments
from swift.pipelines.train.sft import SwiftSft
from swift.template import MaxLengthError
from swift.trainers import Seq2SeqTrainer
from transformers import TrainerControl, TrainerState, TrainingArguments

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.rendering.rendered import RowRenderer
from agent_assets.conversations.rendering.template_environment import Rendered
from agent_assets.engines.checkpoints import (
    checkpoint_folder,
    last_sealed_step,
    seal_checkpoint,
)
from agent_assets.engines.contracts import SftParams
from agent_assets.engines.programs.cpu_kernels import keep_memory, speed_up
from agent_assets.engines.programs.loss_callback import LossCallback
from agent_assets.engines.programs.runtime import ReportMessage, report_progress
from agent_assets.engines.programs.shared_cores import SharedCores
from agent_assets.engines.programs.swift_arguments import common_arguments
from agent_assets.errors import EngineFailed

_IGNORED = -100  # label of a token that the loss does not count


def sft_arguments(params: SftParams, *, agent_template: str, scratch: Path) -> SftArguments:
    """The arguments of `swift sft` for our parameters: what a command line would say, and nothing
    left to guess.
    """
    common = common_arguments(
        params.model_dir,
        precision=params.precision,
        learning_rate=params.learning_rate,
        seed=params.seed,
        agent_template=agent_template,
    )
    # Rows computed one by one need no padding, and logits only where there are labels: on a CPU
    # that is faster. The loss is a mean over the tokens of the whole step, so the gradient is the
    # same.
    micro_batch = params.micro_batch or (1 if common["use_cpu"] else params.batch_size)
    return SftArguments(
        **common,
        loss_scale=params.loss_scale,
        dataset=[str(params.train_file)],
        max_length=params.max_length,
        truncation_strategy="raise",
        lora_rank=params.lora_rank,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=params.lora_target_modules or ["all-linear"],
        num_train_epochs=params.epochs,
        warmup_ratio=params.warmup_ratio,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=max(1, params.batch_size // micro_batch) * params.grad_accum,
        use_logits_to_keep=True,
        output_dir=str(params.checkpoint_dir or scratch),
        save_strategy="no",  # the watcher saves, by time
        save_total_limit=2,  # the one before stays until the last one is on the disk
        resume_from_checkpoint=_last_checkpoint(params.checkpoint_dir),
    )


def _last_checkpoint(folder: Path | None) -> str | None:
    step = 0 if folder is None else last_sealed_step(folder)
    return None if folder is None or not step else str(checkpoint_folder(folder, step))


@dataclass(frozen=True)
class LossPoint:
    """One line of loss.jsonl; `tokens` counts from the start."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int

    @classmethod
    def of(cls, logged: dict[str, float]) -> Self:
        """What transformers logged of a step."""
        return cls(
            step=int(logged["step"]),
            loss=float(logged["loss"]),
            learning_rate=float(logged["learning_rate"]),
            grad_norm=float(logged["grad_norm"]),
            tokens=int(logged["tokens"]),
        )


class Sft(SwiftSft):  # type: ignore[misc]
    """ms-swift's SFT pipeline, with rows encoded here: its own data loading costs more than a small
    training.
    """

    encoded: list[JsonObject]
    history: list["LossPoint"]
    kernels: list[str]
    tokens = 0
    speed = 0.0  # tokens a second

    def encode(self, rows: list[JsonObject], renderer: RowRenderer | None = None) -> int:
        """Encode the rows; returns how many are too long. Those are left out, never cut.

        Args:
            renderer: of a base model with its own chat template. ms-swift would render by a
                template of its own, so it is handed token ids; None lets it render by ours.
        """
        self.encoded = []
        too_long = 0
        for row in rows:
            try:
                self.encoded += (
                    [self.template.encode(row)]
                    if renderer is None
                    else self._encode(renderer.sequences(row))
                )
            except MaxLengthError:
                too_long += 1
        return too_long

    def _encode(self, sequences: list[Rendered]) -> list[JsonObject]:
        if any(len(sequence.ids) > self.template.max_length for sequence in sequences):
            raise MaxLengthError
        return [
            {
                "input_ids": sequence.ids,
                "labels": [
                    token if learned else _IGNORED
                    for token, learned in zip(sequence.ids, sequence.loss_mask, strict=True)
                ],
            }
            for sequence in sequences
        ]

    def fit(
        self, report: ReportMessage, loss_file: Path, checkpoint_seconds: float | None
    ) -> "CountingTrainer":
        """Train; returns the trainer.

        Args:
            report: is told about every step.
            loss_file: gets the loss of every step.
            checkpoint_seconds: the least time from one checkpoint to the next; None writes none.
        """
        self.kernels = []
        model = self.prepare_model(
            self.args, self.model, template=self.template, train_dataset=self.encoded
        )
        if self.args.use_cpu and self.processor.padding_side == "right":
            keep_memory()
            self.kernels = speed_up(model)
        trainer = CountingTrainer(
            model=model,
            args=self.args.training_args,
            template=self.template,
            train_dataset=self.encoded,
        )
        watcher = Watcher(trainer, report, loss_file, checkpoint_seconds)
        trainer.add_callback(watcher)
        trainer.train(self.args.resume_from_checkpoint)
        self.history, self.tokens = watcher.history, trainer.tokens
        self.speed = (trainer.tokens - watcher.first_token) / (time.monotonic() - watcher.started)
        return trainer


class CountingTrainer(Seq2SeqTrainer):  # type: ignore[misc]
    """Counts the tokens that went through the model."""

    tokens = 0

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._cores = SharedCores()

    def training_step(
        self, model: PeftModel, inputs: dict[str, torch.Tensor], *args: object, **kwargs: object
    ) -> torch.Tensor:
        """One forward and backward pass."""
        self.tokens += inputs["input_ids"].numel()
        self._cores.share()
        return super().training_step(model, inputs, *args, **kwargs)

    def _compute_acc(self, *args: object, **kwargs: object) -> None:
        """Token accuracy over a 49k vocabulary costs time at every step and decides nothing."""


class Watcher(LossCallback):
    """Reports each step, writes the loss file, asks for checkpoints, and stops when the loss is NaN
    or infinite.
    """

    def __init__(
        self,
        trainer: CountingTrainer,
        report: ReportMessage,
        loss_file: Path,
        checkpoint_seconds: float | None,
    ) -> None:
        self.trainer, self.report, self.loss_file = trainer, report, loss_file
        self.checkpoint_seconds = checkpoint_seconds
        self.history: list[LossPoint] = []
        self.started = self.saved = time.monotonic()
        self.first_step = self.first_token = 0

    def on_train_begin(
        self, _: object, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Take over the history of a resumed training."""
        self.history = [LossPoint.of(logged) for logged in state.log_history if "loss" in logged]
        self.trainer.tokens = self.first_token = self.history[-1].tokens if self.history else 0
        self.started = self.saved = time.monotonic()
        self.first_step = state.global_step
        self.loss_file.write_text(
            "".join(json.dumps(asdict(entry)) + "\n" for entry in self.history), encoding="utf-8"
        )

    def on_step_end(
        self, _: object, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Ask for a checkpoint when the last one is old enough; behind the last step, none is."""
        due = (
            self.checkpoint_seconds is not None
            and time.monotonic() - self.saved >= self.checkpoint_seconds
        )
        control.should_save = due and state.global_step < state.max_steps

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The checkpoint is written: have it on the disk."""
        seal_checkpoint(checkpoint_folder(Path(args.output_dir), state.global_step))
        self.saved = time.monotonic()

    def on_loss(self, state: TrainerState, logs: dict[str, float]) -> None:
        """Report one step."""
        logged = state.log_history[-1]  # kept in checkpoints: a resumed training goes on counting
        logged["tokens"] = self.trainer.tokens
        entry = LossPoint.of(logged)
        if not (math.isfinite(entry.loss) and math.isfinite(entry.grad_norm)):
            raise EngineFailed(
                f"The loss is {entry.loss} at step {state.global_step} of {state.max_steps}.",
                next_step="Lower `sft_adapter.learning_rate`, or train with `precision: fp32`.",
            )
        self.history.append(entry)
        with self.loss_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
        seconds = time.monotonic() - self.started
        done = state.global_step - self.first_step
        report_progress(
            self.report,
            "train",
            step=state.global_step,
            total_steps=state.max_steps,
            loss=entry.loss,
            tokens=self.trainer.tokens,
            eta_seconds=round(seconds / done * (state.max_steps - state.global_step), 1),
            tokens_per_s=round((self.trainer.tokens - self.first_token) / seconds, 1),
            epoch=round(state.epoch or 0.0, 3),
            total_epochs=state.num_train_epochs,
        )
