"""From scored groups to what the trainer learns from: advantages relative to the group, and sequences of token ids."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from agent_assets.errors import EngineFailed

if TYPE_CHECKING:
    from openai.types.chat.chat_completion import Choice

Advantage = Literal["dr_grpo", "grpo"]
EQUAL = 1e-6  # a smaller spread of rewards is none


def advantages(rewards: Sequence[float], kind: Advantage) -> list[float]:
    """Reward minus the mean of its group; for `grpo` divided by the group's standard deviation. All 0 when equal."""
    mean = statistics.fmean(rewards)
    if is_equal(rewards):
        return [0.0] * len(rewards)
    scale = statistics.pstdev(rewards) if kind == "grpo" else 1.0
    return [(reward - mean) / scale for reward in rewards]


def is_equal(rewards: Sequence[float]) -> bool:
    """Whether a group teaches nothing: all its rewards are the same."""
    return max(rewards) - min(rewards) < EQUAL


def sequences(choices: Sequence["Choice"], advantage: float) -> list[dict[str, Any]]:
    """The turns of one rollout as sequences: `ids`, `spans` of learned positions, `logprobs`, `advantage`.

    A turn whose prompt continues the turn before token for token joins it: what they share is computed once.

    Raises:
        EngineFailed: the server did not return token ids and log-probabilities.
    """
    found: list[dict[str, Any]] = []
    for choice in choices:
        prompt, output, logprobs = _tokens(choice)
        if not output:
            continue
        before = found[-1]["ids"] if found else None
        if before is not None and prompt[: len(before)] == before:
            last = found[-1]
        else:
            last = {"ids": [], "spans": [], "logprobs": [], "advantage": advantage}
            found.append(last)
        last["ids"] = [*prompt, *output]
        last["spans"].append([len(prompt), len(prompt) + len(output)])
        last["logprobs"] += logprobs
    count = sum(len(sequence["logprobs"]) for sequence in found)
    return [sequence | {"rollout_tokens": count} for sequence in found]


def _tokens(choice: "Choice") -> tuple[list[int], list[int], list[float]]:
    extra = choice.model_extra or {}
    prompt, output = extra.get("prompt_token_ids"), extra.get("token_ids")
    logprobs = [entry.logprob for entry in (choice.logprobs.content or ())] if choice.logprobs is not None else []
    if prompt is None or output is None or len(output) != len(logprobs):
        raise EngineFailed(
            "The inference server returned no token ids or log-probabilities to learn from.",
            next_step="use the vLLM of the engine environment (make setup); other servers cannot be trained against.",
        )
    return list(prompt), list(output), logprobs
