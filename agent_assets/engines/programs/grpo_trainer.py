"""The parts of ms-swift that `swift_grpo` puts together: arguments, pipeline, what happens at a
step.
"""

import asyncio
import math
from collections.abc import Mapping

from peft import PeftModel
from swift import RLHFArguments
from swift.pipelines.train.rlhf import SwiftRLHF
from swift.rlhf_trainers import GRPOTrainer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from agent_assets.conversations.messages import JsonObject
from agent_assets.engines.programs import grpo_plugin
from agent_assets.engines.programs.grpo_plugin import NAME, ask_rollout_service
from agent_assets.engines.programs.swift_arguments import common_arguments
from agent_assets.engines.rl_contracts import GrpoParams, TrainedReply, TrainedRequest
from agent_assets.errors import EngineFailed, TrainingDataError


def grpo_arguments(params: GrpoParams, *, agent_template: str) -> RLHFArguments:
    """The arguments of `swift rlhf --rlhf_type grpo` for our settings, and nothing left to
    guess.
    """
    dr_grpo = params.advantage == "dr_grpo"
    common = common_arguments(
        params.model_dir,
        precision=params.precision,
        learning_rate=params.learning_rate,
        seed=params.seed,
        agent_template=agent_template,
    )
    return RLHFArguments(
        **common,
        rlhf_type="grpo",
        external_plugins=[grpo_plugin.__file__],
        reward_funcs=[NAME],
        multi_turn_scheduler=NAME,
        max_turns=params.max_turns,
        dataset=[str(params.rows_file)],
        # The SFT adapter is where training starts from, and the reference of the KL term.
        adapters=[str(params.adapter_dir)],
        ref_adapters=[str(params.adapter_dir)] if params.kl > 0 else [],
        # The group is one micro batch, the scenarios of a step are accumulated.
        num_generations=params.rollouts_per_scenario,
        per_device_train_batch_size=params.rollouts_per_scenario,
        gradient_accumulation_steps=params.scenarios_per_step,
        num_iterations=1,
        max_steps=max(1, params.steps),
        temperature=1.0,
        max_completion_length=params.max_tokens,
        completion_length_limit_scope="per_round",
        max_length=params.max_model_len,
        loss_type="dr_grpo" if dr_grpo else "grpo",
        scale_rewards="none" if dr_grpo else "group",
        epsilon=params.clip,
        beta=params.kl,
        lr_scheduler_type="constant",
        warmup_ratio=0.0,
        weight_decay=0.0,
        adam_beta1=0.9,
        adam_beta2=0.99,
        max_grad_norm=params.max_grad_norm,
        dataset_shuffle=False,
        train_dataloader_shuffle=False,  # the caller's order is the curriculum
        output_dir=str(params.checkpoints),
        save_strategy="steps",
        save_steps=1,
        save_total_limit=params.keep_checkpoints,
        resume_from_checkpoint=None if params.resume is None else str(params.resume),
        logging_nan_inf_filter=False,  # it would show a finite number for a loss that is none
        **_sampling(params),
    )


def _sampling(params: GrpoParams) -> Mapping[str, object]:
    """Who samples: transformers in this process, vLLM in this process, or the rollout server."""
    if params.rollout_server is not None:
        return {
            "use_vllm": True,
            "vllm_mode": "server",
            "vllm_server_base_url": [params.rollout_server],
            "vllm_server_group_port": [params.group_port],
            "vllm_server_pass_dataset": True,  # the scheduler there has to know the scenario
        }
    if params.vllm:
        return {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_max_model_len": params.max_model_len,
            "vllm_max_num_seqs": params.concurrency,
            "vllm_gpu_memory_utilization": 0.4,
            "sleep_level": 1,
        }
    return {"use_vllm": False}


class Grpo(SwiftRLHF):  # type: ignore[misc]
    """ms-swift's GRPO on rows in memory: its own data loading costs more than a small training."""

    def check_rows(self, rows: list[JsonObject]) -> None:
        """Refuse questions after which no turn fits: ms-swift would cut their start away.

        Raises:
            TrainingDataError: there are some.
        """
        longest = self.args.max_length - self.args.max_completion_length
        self.template.max_length = None
        lengths = [len(self.template.encode(row)["input_ids"]) for row in rows]
        too_long = sum(length > longest for length in lengths)
        if too_long:
            raise TrainingDataError(
                f"{too_long} of {len(rows)} scenarios do not fit: the longest has {max(lengths)} "
                "tokens, and "
                f"rl.max_model_len less rl.max_tokens leaves {longest}.",
                next_step="raise rl.max_model_len, or lower rl.max_tokens.",
            )

    def fit(self, rows: list[JsonObject], steps: int, *, concurrency: int) -> PeftModel:
        """Train up to a step; the model. With no step left it is that of the checkpoint.

        Args:
            concurrency: rollouts that transformers samples at once.
        """
        args = self.args
        model = self.prepare_model(args, self.model, template=self.template, train_dataset=rows)
        if not steps:
            return model
        trainer = StepTrainer(
            model=model,
            args=args.training_args,
            template=self.template,
            train_dataset=rows,
            **self._get_trainer_kwargs(),
        )
        if not args.use_vllm:
            trainer.engine.max_batch_size = concurrency
        trainer.add_callback(StepReporter())
        trainer.train(args.resume_from_checkpoint)
        return trainer.model


class StepTrainer(GRPOTrainer):  # type: ignore[misc]
    """Says in words what broken weights do to sampling."""

    def _generate_completions(self, samples: list[JsonObject]) -> list[JsonObject]:
        try:
            sampled: list[JsonObject] = super()._generate_completions(samples)
            return sampled
        except RuntimeError as error:
            if "probability tensor contains" not in str(error):
                raise
            raise broken(
                "The probabilities of the next token are NaN or infinite", self.state.global_step
            ) from error


class StepReporter(TrainerCallback):  # type: ignore[misc]
    """Tells the caller about every step once its checkpoint is complete, and stops when the caller
    says so.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: object,
    ) -> None:
        """Keep the numbers of the step; nothing is saved after a loss that is NaN or infinite."""
        if "loss" not in logs:
            return
        loss, norm = float(logs["loss"]), float(logs["grad_norm"])
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise broken(
                f"The loss of reinforcement learning is {loss} (gradient norm {norm})",
                state.global_step - 1,
            )
        self.metrics = {"loss": loss, "grad_norm": norm} | {
            ours: float(logs[theirs]) for ours, theirs in _METRICS.items() if theirs in logs
        }

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """The step is done."""
        reply = asyncio.run(
            ask_rollout_service(TrainedRequest(state.global_step, self.metrics), TrainedReply)
        )
        if reply.stop:
            control.should_training_stop = True


_METRICS = {
    "kl": "kl",
    "clip_fraction": "clip_ratio/region_mean",
    "completion_length": "completions/mean_length",
}


def broken(what: str, last_good: int) -> EngineFailed:
    """The error of a training whose numbers are none."""
    return EngineFailed(
        f"{what} at step {last_good + 1}; the last good checkpoint is step {last_good}.",
        next_step="lower rl.learning_rate, or set rl.precision to fp32; training goes on from "
        "that checkpoint.",
    )
