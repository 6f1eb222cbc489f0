"""Is the agent better than what needs no training? Its peers answered the same items.

The base model has the same tools and prompts. Search and quote has no model at all
(search_and_quote.py); it is there where the pipeline's tools have a search. What is compared is
whether an item is right: over the turns of the exam where there are some, because they are words
that nobody templated, and otherwise over all held-out items but those without tools. `beats` asks
the whole 95% interval of the paired change to lie above zero.
"""

from collections.abc import Mapping, Sequence

from agent_assets.conversations.items import EvalItem
from agent_assets.evaluation.bootstrap import Interval, paired_bootstrap, wilson_interval
from agent_assets.evaluation.metrics import METRICS, primary_metric
from agent_assets.evaluation.report import variant_label
from agent_assets.evaluation.report_schema import QUOTE, PeerComparison, Report

_TOLD = ("recall_open", "abstention")


def with_peers(report: Report, items: Sequence[EvalItem]) -> Report:
    """The report with intervals of every share, and how its candidate compares with its peers."""
    return report.model_copy(
        update={
            "shares": {variant: _shares(report, variant) for variant in report.variants},
            "peers": {
                peer: _compare(report, items, peer)
                for peer in report.variants
                if report.is_peer(peer)
            },
        }
    )


def _shares(report: Report, variant: str) -> dict[str, Interval]:
    shares = {}
    for metric in METRICS:
        scores = report.scores[variant].values()
        values = [score[metric.name] for score in scores if metric.name in score]
        if values:
            shares[metric.name] = wilson_interval(sum(values), len(values))
    return shares


def _compare(report: Report, items: Sequence[EvalItem], peer: str) -> PeerComparison:
    candidate = report.candidate
    counted = _counted(items, peer)
    theirs, ours = _right(report.scores[peer], counted), _right(report.scores[candidate], counted)
    both = [name for name in theirs if name in ours]
    change = paired_bootstrap(
        [theirs[name] for name in both],
        [ours[name] for name in both],
        seed=report.bootstrap.seed,
        samples=report.bootstrap.samples,
    )
    sums = {
        variant: sum(right[name] for name in both)
        for variant, right in ((peer, theirs), (candidate, ours))
    }
    beats = change is not None and change.low > 0
    return PeerComparison(
        candidate=candidate,
        kinds=sorted({item.kind for item in counted}),
        items=len(both),
        shares={variant: wilson_interval(right, len(both)) for variant, right in sums.items()}
        if both
        else {},
        change=change,
        beats=beats,
        line=_line(candidate, peer, len(both), sums, change),
    )


def _counted(items: Sequence[EvalItem], peer: str) -> list[EvalItem]:
    turns = [item for item in items if item.kind == "conversation"]
    if turns:
        return turns
    if peer == QUOTE:
        return [item for item in items if item.kind in _TOLD]
    return [item for item in items if item.kind != "recall_closed"]


def _right(
    scores: Mapping[str, Mapping[str, float]], items: Sequence[EvalItem]
) -> dict[str, float]:
    """By item whether it is right; items without a verdict are left out."""
    verdicts = ((item.id, scores[item.id].get(primary_metric(item))) for item in items)
    return {name: right for name, right in verdicts if right is not None}


def _line(
    candidate: str, peer: str, items: int, right: Mapping[str, float], change: Interval | None
) -> str:
    agent, other = variant_label(candidate), variant_label(peer)
    if change is None:
        return f"{agent} was not compared with {other}: no item was answered by both."
    if change.low > 0:
        verdict = f"{agent} beats {other}"
    elif change.high < 0:
        verdict = f"{agent} is WORSE than {other}"
    else:
        verdict = f"{agent} does NOT beat {other}"
    return (
        f"{verdict}: {right[candidate]:.0f} against {right[peer]:.0f} of {items} right "
        f"({100 * change.mean:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}])."
    )
