"""The policy-gradient step: clipped probability ratios, group-relative advantages, an optional KL term.

For token t of rollout i with advantage A, ratio r = exp(logp_now - logp_sampled) and reference log-probability q:

    loss = sum over tokens of w * ( -min(r A, clip(r, 1 - e, 1 + e) A) + kl (exp(q - p) - (q - p) - 1) )

The clipped term is PPO's (Schulman et al. 2017, arXiv:1707.06347, eq. 7); advantages relative to a group of rollouts of
one question and the unbiased KL estimate are GRPO's (Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300, eq. 3 and 4).
Token weights w: `grpo` is 1 / (rollouts x tokens of the rollout) as there; `dr_grpo` is 1 / (rollouts x a constant),
without GRPO's bias towards long wrong answers (Liu et al. 2025, "Understanding R1-Zero-Like Training",
arXiv:2503.20783).

Sampled log-probabilities come from the inference server, so the ratio also corrects for its other arithmetic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Totals:
    """Sums over the tokens of one step."""

    loss: float = 0.0
    kl: float = 0.0
    tokens: int = 0
    clipped: int = 0
    ratio: float = 0.0
    forwarded: int = 0

    def metrics(self) -> dict[str, float]:
        """Means over the trained tokens."""
        count = max(1, self.tokens)
        return {
            "loss": self.loss,
            "kl": self.kl / count,
            "clip_fraction": self.clipped / count,
            "probability_ratio": self.ratio / count,
            "trained_tokens": self.tokens,
            "forwarded_tokens": self.forwarded,
        }


def accumulate(
    model: Any, sequences: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], reference: Any, totals: Totals
) -> None:
    """Add the gradients of all sequences, one at a time: no padding, and logits only where tokens are learned.

    Args:
        sequences: each with `ids`, `spans` (half-open ranges of learned positions), `logprobs` (of the learned tokens,
            in order), `advantage`, and `rollout_tokens` (learned tokens of the whole rollout).
        settings: advantage, clip, kl, max_tokens, rollouts (their number in this step).
        reference: function from (ids, positions) to log-probabilities of the reference policy; None without KL.
    """
    for sequence in sequences:
        ids = torch.tensor([sequence["ids"]], device=model.device)
        positions = [place for start, end in sequence["spans"] for place in range(start, end)]
        sampled = torch.tensor(sequence["logprobs"], dtype=torch.float32, device=model.device)
        now = log_probabilities(model, ids, positions)
        ratio = torch.exp(now - sampled)
        advantage = float(sequence["advantage"])
        clipped = ratio.clamp(1 - settings["clip"], 1 + settings["clip"])
        per_token = -torch.minimum(ratio * advantage, clipped * advantage)
        if reference is not None:
            away = reference(ids, positions) - now
            divergence = torch.exp(away) - away - 1
            per_token = per_token + settings["kl"] * divergence
            totals.kl += float(divergence.sum())
        loss = per_token.sum() * token_weight(settings, int(sequence["rollout_tokens"]))
        loss.backward()
        totals.loss += float(loss.detach())
        totals.tokens += len(positions)
        totals.forwarded += ids.shape[1]
        totals.ratio += float(ratio.detach().sum())
        totals.clipped += int((clipped != ratio).sum())


def token_weight(settings: Mapping[str, Any], rollout_tokens: int) -> float:
    """Weight of one token in the loss of a step."""
    length = rollout_tokens if settings["advantage"] == "grpo" else int(settings["max_tokens"])
    return 1.0 / (int(settings["rollouts"]) * length)


def log_probabilities(model: Any, ids: Any, positions: Sequence[int]) -> Any:
    """Log-probability (float32) of the token at each position given what stands before it; shape (positions,)."""
    places = torch.tensor(positions, device=ids.device)
    logits = model(input_ids=ids, logits_to_keep=places - 1, use_cache=False).logits[0].float()
    return torch.log_softmax(logits, -1).gather(1, ids[0, places].unsqueeze(1)).squeeze(1)


def finite(*values: float) -> bool:
    """Whether all are numbers."""
    return all(math.isfinite(value) for value in values)
