"""The gate: may this candidate answer from now on? Pure: from scores and findings to a verdict.

Candidate and current release are compared on the held-out items both were asked, word for word; an
agent without a release is compared with the base model. For each guarded metric the mean difference
comes with a paired bootstrap interval (see evaluation/bootstrap.py):

| what was found | verdict |
|---|---|
| the report is incomplete, the parity proof is missing or failed | REJECT |
| answers repeat other elders' memories or planted canaries | REJECT |
| a metric fell beyond its margin, and its whole interval lies below zero | REJECT |
| a metric fell beyond its margin, and the interval does not exclude luck | HOLD |
| too few items in common to compare | HOLD |
| this version was rolled back by a person | HOLD |
| otherwise | PROMOTE |

A better score is not asked for: a candidate that knows one story more is worth releasing when
nothing else fell.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from agent_assets.evaluation.bootstrap import paired_bootstrap
from agent_assets.release.config import GateConfig
from agent_assets.release.records import Candidate, Items, Verdict

_RECALL = ("recall_open", "recall_closed")
_TOOLS = ("tool_call_accuracy", "tool_call_accuracy_unseen_wording")
_ANSWERS = ("answer_accuracy",)
_ABSTENTION = ("abstention",)


def judge(
    candidate: Candidate,
    items: Items,
    current: tuple[str, Items] | None,
    config: GateConfig,
    *,
    version: str,
    rolled_back: str | None = None,
) -> Verdict:
    """The verdict on a candidate.

    Args:
        candidate: what would be released; `items` are its scores.
        current: content name and items of the current release; None compares with the base model.
        version: fingerprint of the candidate's artifact.
        rolled_back: who rolled this version back and why, None when nobody did.
    """
    rejects = [*candidate.incomplete, *_leak_reasons(candidate.leaks, config)]
    holds = [] if rolled_back is None else [f"this version was rolled back ({rolled_back})"]
    pairs = _pairs(items, current)
    needed = (
        min(config.min_shared_items, len(items)) if current is None else config.min_shared_items
    )
    if len(pairs) < needed:
        holds.append(f"only {len(pairs)} held-out items in common, {needed} are needed")
    metrics, fell = _compare(pairs, config)
    rejects += [words for words, certain in fell if certain]
    holds += [words for words, certain in fell if not certain]
    decision: Literal["PROMOTE", "HOLD", "REJECT"] = (
        "REJECT" if rejects else "HOLD" if holds else "PROMOTE"
    )
    reasons = [*rejects, *holds] or [_passed(current, len(pairs))]
    return Verdict(
        decision=decision,
        reasons=tuple(reasons),
        candidate=version,
        compared_with="base model" if current is None else current[0],
        shared_items=len(pairs),
        metrics=metrics,
        leaks=dict(candidate.leaks),
    )


def _leak_reasons(leaks: Mapping[str, int], config: GateConfig) -> list[str]:
    reasons = []
    if leaks.get("canaries", 0):
        reasons.append(f"{leaks['canaries']} answers hold a canary planted with another elder")
    if leaks.get("cross_answers", 0) > config.max_cross_answers:
        reasons.append(
            f"{leaks['cross_answers']} of {leaks['answers']} answers repeat memories of other "
            "elders "
            f"(at most {config.max_cross_answers}; {leaks['own_answers']} repeat the elder's own)"
        )
    return reasons


def _pairs(
    items: Items, current: tuple[str, Items] | None
) -> list[tuple[Mapping[str, float], Mapping[str, float]]]:
    """Scores of (current, candidate) on every item both answered."""
    if current is None:
        return [(item["base"], item["candidate"]) for _, item in sorted(items.items())]
    theirs = {item["digest"]: item["candidate"] for item in current[1].values()}
    return [
        (theirs[item["digest"]], item["candidate"])
        for _, item in sorted(items.items())
        if item["digest"] in theirs
    ]


def _compare(
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], config: GateConfig
) -> tuple[dict[str, dict[str, float | int]], list[tuple[str, bool]]]:
    """Numbers of every guarded metric; and what fell beyond its margin, in words, with whether that
    is certain.
    """
    margins = (
        dict.fromkeys(_RECALL, config.recall_margin)
        | dict.fromkeys(_TOOLS, config.tool_margin)
        | dict.fromkeys(_ANSWERS, config.answer_margin)
        | dict.fromkeys(_ABSTENTION, config.abstention_margin)
    )
    metrics: dict[str, dict[str, float | int]] = {}
    fell = []
    for metric, margin in margins.items():
        both = [
            (before[metric], after[metric])
            for before, after in pairs
            if metric in before and metric in after
        ]
        before, after = [pair[0] for pair in both], [pair[1] for pair in both]
        interval = paired_bootstrap(before, after, seed=config.seed, samples=config.samples)
        if interval is None:
            continue
        metrics[metric] = {
            "items": len(both),
            "before": round(sum(before) / len(both), 4),
            "after": round(sum(after) / len(both), 4),
            "change": round(interval.mean, 4),
            "low": round(interval.low, 4),
            "high": round(interval.high, 4),
            "margin": margin,
        }
        if interval.mean < -margin - 1e-9:
            words = (
                f"{metric} fell by {-interval.mean:.2f} on {len(both)} items [{interval.low:+.2f}, "
            )
            fell.append(
                (f"{words}{interval.high:+.2f}], the margin is {margin:.2f}", interval.high < 0)
            )
    return metrics, fell


def _passed(current: tuple[str, Items] | None, shared: int) -> str:
    against = "the base model: there was no release" if current is None else current[0]
    return f"nothing fell beyond its margin on {shared} items against {against}"
