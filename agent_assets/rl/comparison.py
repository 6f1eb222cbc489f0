"""Whether reinforcement learning helped, where it was not trained: rewards of held-out items, SFT against RL."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.evaluation.bootstrap import Interval, paired_bootstrap
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.rl.config import RewardWeights
from agent_assets.rl.rewards import reward


def compare_rewards(
    results: Mapping[str, Sequence[ItemResult]], tools: Sequence[ToolSchema], weights: RewardWeights, *,
    training: Mapping[str, Any], seed: int, samples: int,
) -> JsonObject:  # fmt: skip
    """Mean verifiable reward of every system, the paired change from SFT to RL, and one line that says it all.

    Args:
        results: of the systems `sft` and `rl` (and others) on the same held-out items.
        training: summary of the rl_checkpoint: `learned` and `verdict`.
    """
    scored = {system: _rewards(outcome, tools, weights) for system, outcome in results.items()}
    both = [item for item in scored["sft"] if item in scored["rl"]]
    interval = paired_bootstrap(
        [scored["sft"][item] for item in both], [scored["rl"][item] for item in both], seed=seed, samples=samples
    )
    return {
        "rewards": {system: round(statistics.fmean(v.values()), 6) if v else None for system, v in scored.items()},
        "items": len(both),
        "interval": None if interval is None else vars(interval),
        "line": _line(interval, len(both), training),
    }


def _rewards(results: Sequence[ItemResult], tools: Sequence[ToolSchema], weights: RewardWeights) -> dict[str, float]:
    found = {}
    for result in results:
        if result.error is None:
            offered = () if result.item.kind == "recall_closed" else tools
            found[result.item.id] = reward(result.item, result.messages, result.stop_reason, offered, weights).total
    return found


def _line(interval: Interval | None, items: int, training: Mapping[str, Any]) -> str:
    if not training.get("learned"):
        return f"RL {training.get('verdict')}."
    if interval is None:
        return "RL cannot be judged: no held-out item was answered by both systems."
    change = f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    how = "helped" if interval.low > 0 else "hurt" if interval.high < 0 else "made no difference that can be told"
    return f"RL {how}: held-out reward {change} against SFT (95% interval, {items} items); {training.get('verdict')}."
