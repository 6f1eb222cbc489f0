"""Scores of several variants compared: the report (`report_schema.py`), and its short forms for the
UI and terminal.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import ToolSchema
from agent_assets.evaluation import metrics
from agent_assets.evaluation.bootstrap import Interval, paired_bootstrap
from agent_assets.evaluation.metrics import METRICS, ItemResult, Metric, Scores
from agent_assets.evaluation.report_schema import QUOTE, Bootstrap, Report, Timings, VariantScores

_LABELS = {"base": "Base", "search_and_quote": "search and quote", "sft": "SFT", "rl": "RL"}


@dataclass(frozen=True)
class ServingCost:
    """What answering all items with one variant took: seconds of wall-clock time without the start
    of the server, and the most memory its processes held together.
    """

    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class HeadlineRow:
    """One line of the comparison: a metric that applies, its value under every variant, the change
    against the first.

    `items` is the number of items behind the smallest of the means; `changes` has every variant but
    the first.
    """

    metric: str
    label: str
    higher_is_better: bool
    items: int
    values: dict[str, float | None]
    changes: dict[str, Interval | None]


def build_report(
    *,
    pipeline: str,
    partition: str | None,
    items: Sequence[EvalItem],
    results: Mapping[str, Sequence[ItemResult]],
    tools: Sequence[ToolSchema],
    seconds: float,
    seed: int,
    samples: int = 2000,
    models: Mapping[str, str] | None = None,
    serving: Mapping[str, ServingCost] | None = None,
) -> Report:
    """Score and compare.

    Args:
        pipeline, partition: whose report it is; no partition in an unpartitioned pipeline.
        items: the held-out items.
        results: results of each variant on those items; the first is the reference, order is kept.
        tools: the schema that was offered; tells defaults of optional arguments and known names.
        seconds: wall-clock time of the whole evaluation.
        seed: seed of the bootstrap.
        samples: resamples of the bootstrap.
        models: data version of the weights that answered as each variant.
        serving: what serving each variant took; enters `timings`.
    """
    applicable = metrics.metrics_of(items)
    scores = {variant: metrics.score_items(outcome, tools) for variant, outcome in results.items()}
    return Report(
        pipeline=pipeline,
        partition=partition,
        items=_count_items(items),
        variants={
            variant: _variant_scores(items, results[variant], scores[variant])
            for variant in results
        },
        deltas={
            f"{later}_vs_{earlier}": _deltas(
                metrics.metrics_of(items),
                scores[earlier],
                scores[later],
                seed=seed,
                samples=samples,
            )
            for earlier, later in combinations(results, 2)
        },
        seconds=round(seconds, 3),
        scored={
            variant: {
                metric.name: sum(metric.name in score for score in scores[variant].values())
                for metric in applicable
            }
            for variant in results
        },
        confusion={
            variant: metrics.confusion(outcome, tools) for variant, outcome in results.items()
        },
        failures={
            variant: {result.item.id: result.error for result in outcome if result.error}
            for variant, outcome in results.items()
        },
        stop_reasons={
            variant: dict(
                sorted(
                    Counter(result.stop_reason for result in outcome if not result.error).items()
                )
            )
            for variant, outcome in results.items()
        },
        timings={
            variant: _timings(outcome, None if serving is None else serving[variant])
            for variant, outcome in results.items()
        },
        models=dict(models or {}),
        bootstrap=Bootstrap(samples=samples, seed=seed),
        scores={
            variant: {item: dict(score) for item, score in scores[variant].items()}
            for variant in results
        },
    )


def answered_share(report: Report) -> float:
    """Smallest share (0 to 1) of the items that a variant answered, no server having failed."""
    total: int = max(1, report.items["total"])
    return min(1 - len(failed) / total for failed in report.failures.values())


def headline_rows(report: Report, *, details: bool = False) -> list[HeadlineRow]:
    """The headline metrics that apply, in order; with `details` the others too."""
    variants = list(report.variants)
    rows = []
    for metric in METRICS:
        values = {variant: report.variants[variant].means.get(metric.name) for variant in variants}
        if not (metric.headline or details) or all(value is None for value in values.values()):
            continue
        changes = {
            variant: _interval(report, variant, variants[0], metric.name)
            for variant in variants[1:]
        }
        scored = min(report.scored[variant][metric.name] for variant in variants)
        rows.append(
            HeadlineRow(metric.name, metric.label, metric.higher_is_better, scored, values, changes)
        )
    return rows


def markdown_summary(report: Report) -> str:
    """The comparison as a Markdown table, after how the candidate compares with its peers: numbers
    and metric names, nothing else.
    """
    variants = list(report.variants)
    header = ["metric", "items", *map(variant_label, variants)]
    header += [
        f"{variant_label(variant)} vs {variant_label(variants[0])} (95%)"
        for variant in variants[1:]
    ]
    lines = [report.first_line, ""] if report.first_line else []
    lines += ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    for row in headline_rows(report):
        cells = [row.label, str(row.items), *(percent(value) for value in row.values.values())]
        cells += [change_text(interval) for interval in row.changes.values()]
        lines.append("| " + " | ".join(cells) + " |")
    baseline = report.variants[report.reference].majority_baseline
    if baseline is not None:
        lines += [
            "",
            f"Always calling the most common tool would name the right one in {percent(baseline)}.",
        ]
    if report.rl is not None:
        lines += ["", report.rl.line]
    if report.cross is not None:
        lines += ["", *report.cross.lines.values()]
    failed = sum(len(failures) for failures in report.failures.values())
    return (
        "\n".join(
            [*lines, "", f"Items not scored because a server failed or time ran out: {failed}."]
        )
        + "\n"
    )


def speed_summary(report: Report) -> str:
    """What serving each variant took, as a Markdown table; a dash for what was not measured."""
    columns = {
        "items": "items",
        "seconds": "seconds",
        "tokens read": "prompt_tokens",
        "tokens written": "completion_tokens",
        "tokens written/s": "tokens_per_s",
        "peak memory (MB)": "peak_memory_mb",
    }
    lines = ["| variant | " + " | ".join(columns) + " |", "|---" + "|---:" * len(columns) + "|"]
    for variant, timing in report.timings.items():
        measured = timing.model_dump()
        cells = [
            "–" if measured[name] is None else f"{measured[name]:,}" for name in columns.values()
        ]
        lines.append(f"| {variant_label(variant)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def speed_totals(report: Report, seconds: float) -> dict[str, float | int | None]:
    """Over all variants with a model: tokens read and written, tokens written a second, the highest
    peak of memory of one (MB).

    `seconds` is the wall-clock time of all questions, which is less than the sum over variants
    asked side by side. None for what was not measured under every variant.
    """

    timings = [timing for variant, timing in report.timings.items() if variant != QUOTE]
    prompt = _all_known([timing.prompt_tokens for timing in timings])
    completion = _all_known([timing.completion_tokens for timing in timings])
    peaks = _all_known([timing.peak_memory_mb for timing in timings])
    return {
        "prompt_tokens": None if prompt is None else sum(prompt),
        "completion_tokens": None if completion is None else sum(completion),
        "tokens_per_s": None if completion is None else round(sum(completion) / seconds, 1),
        "peak_memory_mb": None if peaks is None else max(peaks),
    }


def _all_known(values: list[int | None]) -> list[int] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def variant_label(variant: str) -> str:
    """Name of a variant as people read it."""
    return _LABELS.get(variant, variant)


def percent(value: float | None, digits: int = 1) -> str:
    """`93.1%`; a dash where a metric does not apply."""
    return "–" if value is None else f"{value:.{digits}%}"


def change_text(interval: Interval | None) -> str:
    """`+85.0 [+78.2, +91.0]` in percentage points; a dash where there is nothing to compare."""
    if interval is None:
        return "–"
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _count_items(items: Sequence[EvalItem]) -> dict[str, int]:
    kinds = Counter(str(item.kind) for item in items)
    wordings = Counter(f"tool_{item.wording}_wording" for item in items if item.kind == "tool")
    return {"total": len(items)} | dict(sorted((kinds + wordings).items()))


def _variant_scores(
    items: Sequence[EvalItem], results: Sequence[ItemResult], scores: Mapping[str, Scores]
) -> VariantScores:
    seen, unseen = "tool_call_accuracy", "tool_call_accuracy_unseen_wording"
    return VariantScores(
        **metrics.mean_scores(scores, metrics.metrics_of(items)),
        tool_call_accuracy_by_tool=metrics.accuracy_by_tool(results, scores, seen) or None,
        tool_call_accuracy_by_tool_unseen_wording=metrics.accuracy_by_tool(results, scores, unseen)
        or None,
        majority_baseline=metrics.majority_baseline(items),
    )


def _deltas(
    compared: Sequence[Metric],
    first: Mapping[str, Scores],
    second: Mapping[str, Scores],
    *,
    seed: int,
    samples: int,
) -> dict[str, Interval | None]:
    deltas = {}
    for metric in compared:
        both = [
            item for item in first if metric.name in first[item] and metric.name in second[item]
        ]
        deltas[metric.name] = paired_bootstrap(
            [first[item][metric.name] for item in both],
            [second[item][metric.name] for item in both],
            seed=seed,
            samples=samples,
        )
    return deltas


def _interval(report: Report, later: str, earlier: str, metric: str) -> Interval | None:
    return report.deltas[f"{later}_vs_{earlier}"][metric]


def _timings(results: Sequence[ItemResult], serving: ServingCost | None) -> Timings:
    seconds = sorted(result.seconds for result in results if not result.error)
    counted = [result.usage for result in results if result.usage is not None]
    usage = sum(counted[1:], counted[0]) if counted else None
    speed = (
        None
        if usage is None or serving is None
        else round(usage.completion_tokens / serving.seconds, 1)
    )
    return Timings(
        items=len(results),
        item_seconds_median=round(seconds[len(seconds) // 2], 3) if seconds else None,
        item_seconds_max=round(seconds[-1], 3) if seconds else None,
        seconds=None if serving is None else round(serving.seconds, 3),
        prompt_tokens=None if usage is None else usage.prompt_tokens,
        completion_tokens=None if usage is None else usage.completion_tokens,
        tokens_per_s=speed,
        peak_memory_mb=None if serving is None else serving.peak_memory_bytes // 2**20,
    )
