"""From scored groups to what the trainer learns from: advantages relative to the group, and
sequences of token ids.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agent_assets.engines.contracts import Advantage
from agent_assets.engines.rl_contracts import LearnedSequence
from agent_assets.errors import EngineFailed

if TYPE_CHECKING:
    from openai.types.chat.chat_completion import Choice

EQUAL = 1e-6  # a smaller spread of rewards is none


def advantages(rewards: Sequence[float], kind: Advantage) -> list[float]:
    """Reward minus the mean of its group; for `grpo` divided by the group's standard deviation. All
    0 when equal.
    """
    mean = statistics.fmean(rewards)
    if has_zero_variance(rewards):
        return [0.0] * len(rewards)
    scale = statistics.pstdev(rewards) if kind == "grpo" else 1.0
    return [(reward - mean) / scale for reward in rewards]


def has_zero_variance(rewards: Sequence[float]) -> bool:
    """Whether a group teaches nothing: all its rewards are the same."""
    return max(rewards) - min(rewards) < EQUAL


def turn_advantages(
    rollouts: Sequence[Sequence["Choice"]], rewards: Sequence[float], kind: Advantage
) -> list[list[float]]:
    """Advantage of every turn of a group's rollouts: relative to the rollouts that came to the same
    point.

    At the first turn that is the whole group. A later turn is compared with those whose prompt has
    the same tokens: an answer after a wrong call is no worse than other answers after that call.
    Who is alone there has nothing to compare
    with. States in common as groups: Feng et al. 2025, "Group-in-Group Policy Optimization",
    arXiv:2505.10978.

    Args:
        rollouts: sampled turns of each.
        rewards: of each rollout.
    """
    places: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, turns in enumerate(rollouts):
        for turn, choice in enumerate(turns):
            places.setdefault(tuple(_tokens(choice)[0]), []).append((number, turn))
    per_turn = [[0.0] * len(turns) for turns in rollouts]
    for same in places.values():
        values = advantages([rewards[number] for number, _ in same], kind)
        for (number, turn), value in zip(same, values, strict=True):
            per_turn[number][turn] = value
    return per_turn


def sequences(
    choices: Sequence["Choice"], values: Sequence[float], *, keep_all: bool = False
) -> list[LearnedSequence]:
    """The turns of one rollout as sequences of token ids.

    A turn whose prompt continues the turn before token for token joins it: what they share is
    computed once. A turn without an advantage is not a span, and what follows the last span is left
    out.

    Args:
        values: advantage of each turn.
        keep_all: turns without an advantage are spans, too.

    Raises:
        EngineFailed: the server did not return token ids and log-probabilities.
    """
    learned: list[LearnedSequence] = []
    count = 0
    for choice, value in zip(choices, values, strict=True):
        prompt, output, logprobs = _tokens(choice)
        count += len(output)
        if not output or not (value or keep_all):
            continue
        span = [len(prompt), len(prompt) + len(output)]
        if learned and prompt[: len(learned[-1].ids)] == learned[-1].ids:
            last = learned.pop()
            spans, advantages = [*last.spans, span], [*last.advantages, value]
            learned.append(
                LearnedSequence(
                    [*prompt, *output], spans, [*last.logprobs, *logprobs], advantages, 0
                )
            )
        else:
            learned.append(LearnedSequence([*prompt, *output], [span], logprobs, [value], 0))
    return [replace(sequence, rollout_tokens=count) for sequence in learned]


def _tokens(choice: "Choice") -> tuple[list[int], list[int], list[float]]:
    extra = choice.model_extra or {}
    prompt, output = extra.get("prompt_token_ids"), extra.get("token_ids")
    logprobs = (
        [entry.logprob for entry in (choice.logprobs.content or ())]
        if choice.logprobs is not None
        else []
    )
    if prompt is None or output is None or len(output) != len(logprobs):
        raise EngineFailed(
            "The inference server returned no token ids or log-probabilities to learn from.",
            next_step="use the inference server of the engine environment (agent-assets setup), "
            "which does.",
        )
    return list(prompt), list(output), logprobs
