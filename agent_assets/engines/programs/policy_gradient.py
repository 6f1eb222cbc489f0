"""The policy-gradient step: clipped probability ratios, group-relative advantages, an optional KL
term.

For a token of a turn with advantage A (`rl/advantages.py`), with ratio r = exp(logp_now -
logp_sampled) and reference log-probability q:

    loss = sum over tokens of w * ( -min(r A, clip(r, 1 - e, 1 + e) A) + kl (exp(q - p) - (q - p) -
    1) )

The clipped term is PPO's (Schulman et al. 2017, arXiv:1707.06347, eq. 7); advantages relative to a
group of rollouts of one question and the unbiased KL estimate are GRPO's (Shao et al. 2024,
"DeepSeekMath", arXiv:2402.03300, eq. 3 and 4). Token weights w: `grpo` is 1 / (rollouts x tokens of
the rollout) as there; `dr_grpo` is 1 / (rollouts x a constant), without GRPO's bias towards long
wrong answers (Liu et al. 2025, "Understanding R1-Zero-Like Training", arXiv:2503.20783).

Sampled log-probabilities come from the inference server, so the ratio also corrects for its other
arithmetic. Where the server holds a call to a grammar, its probability is p / Z, with Z the share
of the allowed tokens. The ratio to that is Z: it would scale away just the tokens where the model
wants what is not allowed and has to choose among the rest. There the ratio is taken to the
trainer's own probability. What that leaves out of the gradient, A grad log Z, does not depend on
the token that was chosen, and advantages add up to 0. A token that the grammar forced was no
choice: it is not learned.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from agent_assets.engines.programs.shared_cores import SharedCores
from agent_assets.engines.rl_contracts import (
    LearnedSequence,
    LearnReply,
    LearnRequest,
    TrainerParams,
)

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import Cache

# Log-probabilities of the tokens of `ids` (1, length) at these positions, under the reference
# policy.
Reference: TypeAlias = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

# A grammar was at work where the server gave a token more than twice its probability here, and
# forced it from this on.
_GUIDED = math.log(2)
_FORCED = math.log(0.999)


@dataclass
class Totals:
    """Sums over the tokens of one step."""

    loss: float = 0.0
    kl: float = 0.0
    tokens: int = 0
    clipped: int = 0
    guided: int = 0
    ratio: float = 0.0
    forwarded: int = 0

    def reply(self, *, grad_norm: float, seconds: float) -> LearnReply:
        """Means over the trained tokens."""
        count = max(1, self.tokens)
        return LearnReply(
            loss=self.loss,
            kl=self.kl / count,
            clip_fraction=self.clipped / count,
            guided_fraction=self.guided / count,
            probability_ratio=self.ratio / count,
            trained_tokens=self.tokens,
            forwarded_tokens=self.forwarded,
            grad_norm=grad_norm,
            seconds=seconds,
        )


def accumulate(
    model: "PeftModel",
    request: LearnRequest,
    params: TrainerParams,
    reference: Reference | None,
    totals: Totals,
    cores: SharedCores,
) -> None:
    """Add the gradients of all sequences, one at a time: no padding, and logits only where tokens
    are learned.

    Args:
        reference: log-probabilities of the reference policy; None without a KL term.
        cores: shared with answers beside the training.
    """

    def weight(sequence: LearnedSequence) -> float:
        return token_weight(params, request.rollouts, sequence.rollout_tokens)

    for prompt, group in _by_prompt(request.sequences):
        shared = _Prompt(model, prompt) if len(group) > 1 and prompt else None
        for sequence in group:
            cores.share()
            _loss(model, sequence, weight(sequence), params, reference, totals, shared).backward()
        if shared is not None:
            shared.backward()
            totals.forwarded += len(prompt)


def _loss(
    model: "PeftModel",
    sequence: LearnedSequence,
    weight: float,
    params: TrainerParams,
    reference: Reference | None,
    totals: Totals,
    shared: "_Prompt | None",
) -> torch.Tensor:
    """The loss of one sequence, each token with this weight; counts what is seen on the way."""
    ids = torch.tensor([sequence.ids], device=model.device)
    positions = [place for start, end in sequence.spans for place in range(start, end)]
    sampled = torch.tensor(sequence.logprobs, dtype=torch.float32, device=model.device)
    now = log_probabilities(model, ids, positions, shared)
    guided = sampled - now.detach() > _GUIDED
    ratio = torch.exp(now - torch.where(guided, now.detach(), sampled))
    spans = zip(sequence.spans, sequence.advantages, strict=True)
    advantage = now.new_tensor([value for (start, end), value in spans for _ in range(start, end)])
    clipped = ratio.clamp(1 - params.clip, 1 + params.clip)
    per_token = -torch.minimum(ratio * advantage, clipped * advantage)
    per_token = torch.where(guided & (sampled > _FORCED), 0.0, per_token)
    if reference is not None:
        away = reference(ids, positions) - now
        divergence = torch.exp(away) - away - 1
        per_token = per_token + params.kl * divergence
        totals.kl += float(divergence.sum())
    loss = per_token.sum() * weight
    totals.loss += float(loss.detach())
    totals.tokens += len(positions)
    totals.forwarded += ids.shape[1] - (0 if shared is None else shared.length)
    totals.guided += int(guided.sum())
    totals.ratio += float(torch.exp(now.detach() - sampled).sum())
    totals.clipped += int((clipped != ratio).sum())
    return loss


def _by_prompt(
    sequences: Sequence[LearnedSequence],
) -> Iterator[tuple[list[int], list[LearnedSequence]]]:
    """Sequences with the same tokens before what is learned, and these without the last: it says
    the first learned.
    """
    groups: dict[tuple[int, ...], list[LearnedSequence]] = {}
    for sequence in sequences:
        groups.setdefault(tuple(sequence.ids[: sequence.spans[0][0]]), []).append(sequence)
    for prompt, group in groups.items():
        yield list(prompt[:-1]), group


class _Prompt:
    """Keys and values of a prompt, computed once for all that goes on from it.

    They are cut off from their graph, so that each continuation can be learned and forgotten before
    the next; what their gradients add up to goes through the prompt at the end.
    """

    def __init__(self, model: "PeftModel", prompt: list[int]) -> None:
        ids = torch.tensor([prompt], device=model.device)
        self.length = len(prompt)
        self._cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        self._ends = [
            tensor for layer in self._cache.layers for tensor in (layer.keys, layer.values)
        ]
        self._starts = [tensor.detach().requires_grad_() for tensor in self._ends]

    def cache(self) -> "Cache":
        """A cache that holds the prompt; what it grows by is not shared."""
        fresh = copy.copy(self._cache)
        fresh.layers = [copy.copy(layer) for layer in self._cache.layers]
        for number, layer in enumerate(fresh.layers):
            layer.keys, layer.values = self._starts[2 * number : 2 * number + 2]
        return fresh

    def backward(self) -> None:
        """Add the gradients of the prompt."""
        torch.autograd.backward(self._ends, [start.grad for start in self._starts])


def token_weight(params: TrainerParams, rollouts: int, rollout_tokens: int) -> float:
    """Weight of one token in the loss of a step of so many rollouts."""
    length = rollout_tokens if params.advantage == "grpo" else params.max_tokens
    return 1.0 / (rollouts * length)


def log_probabilities(
    model: "PeftModel", ids: torch.Tensor, positions: Sequence[int], shared: _Prompt | None = None
) -> torch.Tensor:
    """Log-probability (float32) of the token at each position given what comes before it; shape
    (positions,).

    Args:
        shared: the first tokens of `ids`, where they were computed before.
    """
    places = torch.tensor(positions, device=ids.device)
    before = 0 if shared is None else shared.length
    known = (
        {"use_cache": False}
        if shared is None
        else {"use_cache": True, "past_key_values": shared.cache()}
    )
    logits = (
        model(input_ids=ids[:, before:], logits_to_keep=places - 1 - before, **known)
        .logits[0]
        .float()
    )
    return torch.log_softmax(logits, -1).gather(1, ids[0, places].unsqueeze(1)).squeeze(1)


def finite(*values: float) -> bool:
    """Whether all are numbers."""
    return all(math.isfinite(value) for value in values)
