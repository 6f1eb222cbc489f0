"""`report.html`: one file that opens anywhere, offline. It holds memory text, so it lives in the
artifact store only.

Questions, memories and answers are untrusted: the template escapes everything, and a content
security policy lets only the page's own script run and nothing load.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import Message
from agent_assets.evaluation import metrics
from agent_assets.evaluation.bootstrap import Interval
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.pages.parts import KINDS, TEMPLATES, page_environment, script_hash
from agent_assets.evaluation.report import HeadlineRow, headline_rows, percent, variant_label
from agent_assets.evaluation.report_schema import Report

_MAX_RESULT_CHARS = 4_000
_OUTCOMES = {
    "gained": "Gained: wrong before, right now",
    "lost": "Lost: right before, wrong now",
    "right": "Right in both",
    "wrong": "Wrong in both",
    "failed": "Not scored",
}


@dataclass(frozen=True)
class Step:
    """One step of a rollout as the page shows it: a call with its result, or text."""

    name: str = ""
    arguments: str = ""
    result: str | None = None
    text: str = ""


@dataclass(frozen=True)
class VariantAnswer:
    """One variant on one item: `right` is None when it was not scored."""

    variant: str
    right: bool | None
    steps: list[Step]
    answer: str
    note: str
    scores: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemView:
    """One item with every variant's answer; `outcome` compares the first variant with the last."""

    item: EvalItem
    kind: str
    outcome: str
    gold_calls: list[Step]
    answers: list[VariantAnswer]


def render_report(
    report: Report,
    items: Sequence[EvalItem],
    results: Mapping[str, Sequence[ItemResult]],
    *,
    training_data: Mapping[str, object],
) -> str:
    """The whole page.

    Args:
        report: what `build_report` made from these items and results.
        items: the held-out items.
        results: results of each variant, as given to `build_report`.
        training_data: counts of the rows the agent was trained on; a nested mapping becomes a
            table.
    """
    variants = list(report.variants)
    views = _item_views(report, items, results)
    rows = headline_rows(report)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    environment = page_environment().overlay()
    environment.filters |= {
        "variant": variant_label,
        "pretty": _pretty,
        "verdict_class": _change_class,
        "interval": _interval_text,
    }
    return environment.get_template("report.html.jinja").render(
        report=report,
        variants=variants,
        rows=rows,
        details=[row for row in headline_rows(report, details=True) if row not in rows],
        verdict=_verdict(rows, variants),
        peer_rows=_peer_rows(report),
        tools=_tool_rows(report, items),
        confusions={variant: _confusion(report.confusion[variant]) for variant in variants},
        views=views,
        outcomes=[
            (key, label, Counter(view.outcome for view in views)[key])
            for key, label in _OUTCOMES.items()
        ],
        kinds=[
            (kind, label)
            for kind, label in KINDS.items()
            if any(item.kind == kind for item in items)
        ],
        training_counts={
            k: v for k, v in training_data.items() if not isinstance(v, Mapping | list)
        },
        training_tables={k: v for k, v in training_data.items() if isinstance(v, Mapping) and v},
        script=script,
        script_hash=script_hash(script),
    )


def _item_views(
    report: Report, items: Sequence[EvalItem], results: Mapping[str, Sequence[ItemResult]]
) -> list[ItemView]:
    by_variant = {
        variant: {result.item.id: result for result in outcome}
        for variant, outcome in results.items()
    }
    views = []
    for item in items:
        answers = [
            _variant_answer(report, variant, by_variant[variant][item.id]) for variant in by_variant
        ]
        gold = [Step(call["name"], _pretty(call["arguments"])) for call in item.gold_calls]
        views.append(
            ItemView(item, KINDS.get(item.kind, item.kind), _outcome(answers), gold, answers)
        )
    return views


def _variant_answer(report: Report, variant: str, result: ItemResult) -> VariantAnswer:
    scores = report.scores[variant][result.item.id]
    if result.error is not None:
        return VariantAnswer(
            variant, None, _steps(result.messages), "", f"not scored: {result.error}"
        )
    # The last text is shown as the answer, everything before it as steps.
    steps = _steps(result.messages[:-1] if result.answer else result.messages)
    note = f"{result.stop_reason}, {result.seconds:.1f} s"
    if result.usage is not None:
        note += f", {result.usage.completion_tokens} tokens"
    right = scores.get(metrics.primary_metric(result.item))
    labels = {metric.name: metric.label for metric in metrics.METRICS}
    shown = {
        labels[name]: percent(value) if name.endswith("_share") else "yes" if value else "no"
        for name, value in scores.items()
    }
    return VariantAnswer(
        variant, None if right is None else right == 1.0, steps, result.answer, note, shown
    )


def _steps(messages: Sequence[Message]) -> list[Step]:
    replies = {
        message.tool_call_id: message.content for message in messages if message.role == "tool"
    }
    steps = []
    for message in messages:
        if message.role != "assistant":
            continue
        if message.content.strip():
            steps.append(Step(text=message.content.strip()))
        for call in message.tool_calls:
            reply = replies.get(call.id)
            steps.append(
                Step(call.name, _pretty(call.arguments), None if reply is None else _shorten(reply))
            )
    return steps


def _outcome(answers: Sequence[VariantAnswer]) -> str:
    first, last = answers[0].right, answers[-1].right
    if first is None or last is None:
        return "failed"
    return {
        (False, True): "gained",
        (True, False): "lost",
        (True, True): "right",
        (False, False): "wrong",
    }[first, last]


def _verdict(rows: Sequence[HeadlineRow], variants: Sequence[str]) -> str:
    """One sentence that claims no more than the intervals do."""
    if len(variants) < 2:
        return f"{variant_label(variants[0])} alone: nothing to compare with."
    first, last = variants[0], variants[-1]
    classes = Counter(_change_class(row, last) for row in rows if row.changes[last] is not None)
    names = f"{variant_label(last)} against {variant_label(first)}"
    return (
        f"{names}: better on {classes['better']}, worse on {classes['worse']}, not distinguishable "
        "on "
        f"{classes['even']} of {classes.total()} metrics (95% intervals)."
    )


def _change_class(row: HeadlineRow, variant: str) -> str:
    interval = row.changes[variant]
    if interval is None or not interval.excludes_zero:
        return "even"
    return "better" if (interval.mean > 0) == row.higher_is_better else "worse"


@dataclass(frozen=True)
class PeerRow:
    """One metric under every variant, with intervals; the changes are those of the candidate."""

    label: str
    shares: list[Interval | None]
    changes: list[Interval | None]


def _peer_rows(report: Report) -> list[PeerRow]:
    """Headline metrics of the candidate and its peers; none in reports without peers."""
    if not report.peers:
        return []
    candidate, shares = report.candidate, report.shares
    return [
        PeerRow(
            metric.label,
            [shares[variant].get(metric.name) for variant in (candidate, *report.peers)],
            [report.deltas[f"{candidate}_vs_{peer}"].get(metric.name) for peer in report.peers],
        )
        for metric in metrics.METRICS
        if metric.headline and metric.name in shares[candidate]
    ]


@dataclass(frozen=True)
class ToolRow:
    """Tool calls right for one tool: for seen and unseen wordings the number of items and the score
    of each variant.
    """

    tool: str
    cells: list[tuple[int, list[float | None]]]


def _tool_rows(report: Report, items: Sequence[EvalItem]) -> list[ToolRow]:
    counts: Counter[tuple[str, str]] = Counter(
        (metrics.gold_label(item), item.wording) for item in items if item.kind == "tool"
    )
    variants = report.variants.values()
    seen = [variant.tool_call_accuracy_by_tool or {} for variant in variants]
    unseen = [variant.tool_call_accuracy_by_tool_unseen_wording or {} for variant in variants]
    return [
        ToolRow(
            tool,
            [
                (counts[tool, wording], [table.get(tool) for table in tables])
                for wording, tables in (("seen", seen), ("unseen", unseen))
            ],
        )
        for tool in sorted({tool for tool, _ in counts})
    ]


@dataclass(frozen=True)
class ConfusionRow:
    """One gold tool: how often each tool was called instead, and in all."""

    gold: str
    total: int
    cells: list[tuple[str, int]]


@dataclass(frozen=True)
class Confusion:
    """A table of gold tools against called ones."""

    columns: list[str]
    rows: list[ConfusionRow]


def _confusion(table: Mapping[str, Mapping[str, int]]) -> Confusion:
    """Columns: the gold tools in the same order as the rows, then whatever else was called."""
    called = {name for counts in table.values() for name in counts}
    columns = [*table, *sorted(called - set(table))]
    rows = [
        ConfusionRow(gold, sum(counts.values()), [(name, counts.get(name, 0)) for name in columns])
        for gold, counts in table.items()
    ]
    return Confusion(columns, rows)


def _interval_text(interval: Interval | None, signed: str = "") -> str:
    """`83.3% [55.2, 95.3]`; a dash where there is none. `signed` shows a sign before the mean."""
    if interval is None:
        return "–"
    form = f"{{:{signed}.1f}}"
    low, high = form.format(100 * interval.low), form.format(100 * interval.high)
    return f"{form.format(100 * interval.mean)} [{low}, {high}]"


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def _shorten(text: str) -> str:
    extra = len(text) - _MAX_RESULT_CHARS
    return text if extra <= 0 else f"{text[:_MAX_RESULT_CHARS]}\n… {extra:,} more characters"
