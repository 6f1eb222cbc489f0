"""Program `rl_trainer`: one policy-gradient step per request, for as long as rollouts go on
elsewhere.

It stays alive between steps, because loading the model costs more than a step. A request is a file
`request-NNNN.json` that its caller writes under another name and renames; NNNN is the step to make.

A step leaves checkpoints/NNNN with the adapter and the state of the optimizer, complete or not at
all; it goes on from checkpoints/<start_step>. Checkpoint 0000 is the adapter that training starts
from, and the reference of the KL term. Equal requests give equal bytes on a CPU.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.engines.codec import decode_text
from agent_assets.engines.programs.runtime import Say, facts, loaded_weights, run_resident
from agent_assets.engines.programs.swift_merge import check_base
from agent_assets.engines.programs.swift_sft import save_adapter
from agent_assets.engines.rl_contracts import (
    RL_TRAINER,
    LearnReply,
    LearnRequest,
    TrainerParams,
    TrainerReady,
)
from agent_assets.errors import EngineFailed

if TYPE_CHECKING:
    import torch

    from agent_assets.engines.programs.policy_gradient import Reference

OPTIMIZER = "optimizer.safetensors"
_POLL_SECONDS = 0.02


class Learner:
    """The policy with its optimizer, at one step.

    Raises:
        BaseModelError: the adapter was trained on another base.
    """

    def __init__(self, params: TrainerParams) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        from agent_assets.engines.programs.cpu_kernels import keep_memory, speed_up
        from agent_assets.engines.programs.shared_cores import SharedCores

        self.params = params
        self.cores = SharedCores()
        self.step = params.start_step
        self.checkpoints = params.checkpoints
        torch.manual_seed(params.seed)
        model_dir, device = params.model_dir, "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if params.precision == "bf16" else torch.float32
        base = AutoModelForCausalLM.from_pretrained(str(model_dir), dtype=dtype).to(device)
        self.weights = loaded_weights(model_dir, base)
        check_base(self.folder(0), self.weights.sha256)
        # Not in training mode: the server sampled without dropout, so dropout here would be noise
        # in ratios and KL.
        self.model = PeftModel.from_pretrained(
            base, str(self.folder(self.step)), is_trainable=True
        ).eval()
        self.kernels = []
        if device == "cpu":
            keep_memory()
            self.kernels = speed_up(self.model)
        self.trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.trainable.values(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        if (self.folder(self.step) / OPTIMIZER).is_file():
            self._load_optimizer()
        self.reference = self._first_policy() if params.kl > 0 else None

    def folder(self, step: int) -> Path:
        """Folder of a checkpoint."""
        return self.checkpoints / f"{step:04d}"

    def learn(self, request: LearnRequest) -> LearnReply:
        """Make one step, and its checkpoint.

        Raises:
            EngineFailed: the loss or its gradient is NaN or infinite; the checkpoint before stays
                the last one.
        """
        import torch

        from agent_assets.engines.programs.policy_gradient import Totals, accumulate, finite

        started = time.monotonic()
        step = self.step + 1
        self.optimizer.zero_grad(set_to_none=True)
        totals = Totals()
        accumulate(self.model, request, self.params, self.reference, totals, self.cores)
        norm = float(
            torch.nn.utils.clip_grad_norm_(list(self.trainable.values()), self.params.max_grad_norm)
        )
        if not finite(totals.loss, norm):
            raise EngineFailed(
                f"The loss of reinforcement learning is {totals.loss} (gradient norm {norm}) at "
                f"step {step}; the last "
                f"good checkpoint is step {self.step}.",
                next_step="lower rl.learning_rate, or set rl.precision to fp32; training goes on "
                "from that checkpoint.",
            )
        self.optimizer.step()
        self.step = step
        self._save()
        return totals.reply(grad_norm=norm, seconds=round(time.monotonic() - started, 3))

    def _save(self) -> None:
        from safetensors.torch import save_file

        partial = self.checkpoints / f".{self.step:04d}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_adapter(self.model, partial, self.weights.sha256)
        state: dict[str, torch.Tensor] = {}
        for name, parameter in self.trainable.items():
            moments = self.optimizer.state[parameter]
            state |= {
                f"{name}.{key}": moments[key].contiguous()
                for key in ("exp_avg", "exp_avg_sq", "step")
            }
        save_file(state, str(partial / OPTIMIZER))
        partial.rename(self.folder(self.step))

    def _load_optimizer(self) -> None:
        from safetensors.torch import load_file

        stored = load_file(str(self.folder(self.step) / OPTIMIZER), device=str(self.model.device))
        for name, parameter in self.trainable.items():
            moments = {key: stored[f"{name}.{key}"] for key in ("exp_avg", "exp_avg_sq")}
            self.optimizer.state[parameter] = moments | {"step": stored[f"{name}.step"].cpu()}

    def _first_policy(self) -> "Reference":
        """Log-probabilities under checkpoint 0: its weights are exchanged for the current ones
        while they are asked.
        """
        import torch
        from peft import load_peft_weights
        from peft.utils.save_and_load import get_peft_model_state_dict

        from agent_assets.engines.programs.policy_gradient import log_probabilities

        first = load_peft_weights(str(self.folder(0)), device=str(self.model.device))
        # Files name weights without the adapter's name: found again by where they lie.
        place = {
            value.data_ptr(): name for name, value in get_peft_model_state_dict(self.model).items()
        }
        pairs = [
            (parameter, first[place[parameter.data_ptr()]].to(parameter))
            for parameter in self.trainable.values()
        ]

        def reference(ids: "torch.Tensor", positions: Sequence[int]) -> "torch.Tensor":
            now = [parameter.data for parameter, _ in pairs]
            try:
                for parameter, old in pairs:
                    parameter.data = old
                with torch.no_grad():
                    return log_probabilities(self.model, ids, positions)
            finally:
                for (parameter, _), data in zip(pairs, now, strict=True):
                    parameter.data = data

        return reference


def serve_requests(params: TrainerParams, say: Say) -> None:
    """Answer requests until the caller ends this process."""
    learner = Learner(params)
    facts_now = facts("torch", "transformers", "peft")
    say(TrainerReady(weights_loaded=learner.weights, kernels=learner.kernels, **facts_now))
    while True:
        path = next(iter(sorted(params.requests.glob("request-*.json"))), None)
        if path is None:
            time.sleep(_POLL_SECONDS)
            continue
        # A step that taught nothing is not asked for: its checkpoint is a copy, and the next number
        # follows it.
        learner.step = int(path.stem.removeprefix("request-")) - 1
        request = decode_text(
            LearnRequest, path.read_text(encoding="utf-8"), program=RL_TRAINER.name
        )
        path.unlink()
        say(learner.learn(request))


if __name__ == "__main__":
    run_resident(RL_TRAINER, serve_requests)
