"""Whether reinforcement learning helped, where it was not trained: rewards of held-out items, SFT
against RL.
"""

import statistics
from collections.abc import Mapping, Sequence

from agent_assets.conversations.messages import ToolSchema
from agent_assets.evaluation.bootstrap import Interval, paired_bootstrap
from agent_assets.evaluation.metrics import METRICS, ItemResult
from agent_assets.evaluation.report_schema import RewardComparison, RlComparison
from agent_assets.rl.config import RewardWeights
from agent_assets.rl.rewards import reward


def compare_rewards(
    results: Mapping[str, Sequence[ItemResult]],
    scenarios: Mapping[str, Sequence[ItemResult]],
    tools: Sequence[ToolSchema],
    weights: RewardWeights,
    *,
    changes: Mapping[str, Interval | None],
    training: Mapping[str, object],
    seed: int,
    samples: int,
) -> RlComparison:
    """Mean verifiable reward of every variant, the paired change from SFT to RL, and one line that
    says it all.

    `candidate` is the variant to release: `rl` where it helped and did not hurt, by these
    intervals, else `sft`. A metric of the report is hurt, too: a reward for calls alone does not
    see answers that went wrong.

    Args:
        results: of the variants `sft` and `rl` (and others) on the same held-out items.
        scenarios: of the variants `sft` and `rl` on the same held-out scenarios; the line judges by
            them where there are some, because they are like what RL was trained on.
        changes: of the report, from SFT to RL: metric -> 95% interval of the mean difference, or
            None.
        training: summary of the rl_checkpoint: `learned` and `verdict`.
    """
    comparisons = {"items": _compare(results, tools, weights, seed, samples)}
    if scenarios.get("rl"):
        answered = {variant: outcome for variant, outcome in scenarios.items() if outcome}
        comparisons["scenarios"] = _compare(answered, tools, weights, seed, samples)
    worse = _worse(changes)
    helped = bool(training.get("learned")) and _helped(comparisons) and not worse
    line = _line(comparisons, training) + worse + ("" if helped else " To be released: SFT.")
    scenarios_too = {"scenarios": comparisons["scenarios"]} if "scenarios" in comparisons else {}
    return RlComparison(
        rewards=comparisons["items"].rewards,
        items=comparisons["items"].items,
        interval=comparisons["items"].interval,
        line=line,
        candidate="rl" if helped else "sft",
        **scenarios_too,
    )


def _compare(
    results: Mapping[str, Sequence[ItemResult]],
    tools: Sequence[ToolSchema],
    weights: RewardWeights,
    seed: int,
    samples: int,
) -> RewardComparison:
    scored = {variant: _rewards(outcome, tools, weights) for variant, outcome in results.items()}
    both = [item for item in scored["sft"] if item in scored["rl"]]
    interval = paired_bootstrap(
        [scored["sft"][item] for item in both],
        [scored["rl"][item] for item in both],
        seed=seed,
        samples=samples,
    )
    means = {
        variant: round(statistics.fmean(v.values()), 6) if v else None
        for variant, v in scored.items()
    }
    return RewardComparison(rewards=means, items=len(both), interval=interval)


def _rewards(
    results: Sequence[ItemResult], tools: Sequence[ToolSchema], weights: RewardWeights
) -> dict[str, float]:
    rewards = {}
    for result in results:
        if result.error is None:
            offered = () if result.item.kind == "recall_closed" else tools
            rewards[result.item.id] = reward(
                result.item, result.messages, result.stop_reason, offered, weights
            ).total
    return rewards


def _helped(comparisons: Mapping[str, RewardComparison]) -> bool:
    decisive, usual = (
        comparisons.get("scenarios", comparisons["items"]).interval,
        comparisons["items"].interval,
    )
    return decisive is not None and decisive.low > 0 and (usual is None or usual.high >= 0)


def _worse(changes: Mapping[str, Interval | None]) -> str:
    """The metrics that are certainly worse under RL, as a sentence; "" when there is none."""
    losses = []
    for metric in METRICS:
        change = changes.get(metric.name)
        if change is not None and (change.high if metric.higher_is_better else -change.low) < 0:
            losses.append(
                f"{metric.label} {change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
            )
    return f" Worse than SFT: {'; '.join(losses)}." if losses else ""


def _line(comparisons: Mapping[str, RewardComparison], training: Mapping[str, object]) -> str:
    if not training.get("learned"):
        return f"RL {training.get('verdict')}."
    decisive = comparisons.get("scenarios", comparisons["items"]).interval
    if decisive is None:
        return "RL cannot be judged: no held-out item was answered by both systems."
    how = (
        "helped"
        if decisive.low > 0
        else "hurt"
        if decisive.high < 0
        else "made no difference that can be told"
    )
    usual = comparisons["items"].interval
    if usual is not None and usual.high < 0 <= decisive.high:
        how += " on scenarios, and hurt ordinary held-out items"
    statements = [
        _change(name, comparisons[name]) for name in ("scenarios", "items") if name in comparisons
    ]
    return (
        f"RL {how}: reward against SFT {'; '.join(statements)} (95% "
        "intervals); "
        f"{training.get('verdict')}."
    )


def _change(name: str, compared: RewardComparison) -> str:
    interval, before, after = compared.interval, compared.rewards["sft"], compared.rewards["rl"]
    if interval is None or before is None or after is None:
        return f"cannot be told on held-out {name}"
    change = f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    return f"{change} on {compared.items} held-out {name} ({before:.3f} to {after:.3f})"
