"""Training data and scores as tables (pandas), for the data report, `agent-assets data` and
notebooks. Every table has its columns also where it has no rows.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.messages import JsonObject
from agent_assets.evaluation.report_schema import Report
from agent_assets.text.answers import final_answer

if TYPE_CHECKING:
    import pandas as pd

ROW_COLUMNS = ("id", "kind", "question", "answer", "tools", "calls", "messages", "sources")
REJECT_COLUMNS = ("id", "kind", "split", "reason", "detail", "question", "sources")
COVERAGE_COLUMNS = ("tool", "calls", "uncovered")
SCORE_COLUMNS = ("variant", "metric", "score", "low", "high", "items")


def rows_frame(rows: Iterable[JsonObject]) -> "pd.DataFrame":
    """One line for each row of train.jsonl.

    `question` is the first one of the row and `answer` its last text; `tools` are the names of what
    it calls, `calls` and `messages` are counts, `sources` ids of memories.
    """
    return _frame(map(_row, rows), ROW_COLUMNS)


def rejects_frame(rejects: Iterable[JsonObject]) -> "pd.DataFrame":
    """One line for each reason of each line of rejects.jsonl."""
    lines = (
        {key: reject.get(key) for key in ("id", "kind", "split", "sources")}
        | {key: reason[key] for key in ("reason", "detail")}
        | {"question": _first_question(reject["messages"])}
        for reject in rejects
        for reason in reject["reasons"]
    )
    return _frame(lines, REJECT_COLUMNS)


def coverage_frame(coverage: JsonObject) -> "pd.DataFrame":
    """One line for each tool of coverage.json: training calls, and why there are none, if so."""
    reasons = coverage.get("uncovered", {})
    calls = coverage["calls_by_tool"]
    names = [*calls, *(name for name in reasons if name not in calls)]
    lines = (
        {"tool": name, "calls": calls.get(name, 0), "uncovered": reasons.get(name)}
        for name in names
    )
    return _frame(lines, COVERAGE_COLUMNS)


def scores_frame(report: Report) -> "pd.DataFrame":
    """One line for each mean of a report, from 0 to 1, with Wilson's interval where there is one,
    and how many items are behind it.
    """
    lines = []
    for variant, scores in report.variants.items():
        for metric, mean in scores.means.items():
            interval = report.shares.get(variant, {}).get(metric)
            lines.append(
                {
                    "variant": variant,
                    "metric": metric,
                    "score": mean,
                    "low": None if interval is None else interval.low,
                    "high": None if interval is None else interval.high,
                    "items": report.scored.get(variant, {}).get(metric, 0),
                }
            )
    return _frame(lines, SCORE_COLUMNS)


def counts(values: "pd.Series[str]") -> dict[str, int]:
    """How often each value stands there; lists count for each of theirs."""
    return {str(value): int(count) for value, count in values.explode().value_counts().items()}


def _row(row: JsonObject) -> JsonObject:
    messages = from_swift(row).messages
    called = [call.name for message in messages for call in message.tool_calls]
    return {
        "id": row["id"],
        "kind": row["kind"],
        "question": next((m.content for m in messages if m.role == "user"), ""),
        "answer": final_answer(messages),
        "tools": sorted(set(called)),
        "calls": len(called),
        "messages": len(messages),
        "sources": row["sources"],
    }


def _first_question(messages: Iterable[Mapping[str, str]]) -> str:
    return next((entry["content"] for entry in messages if entry["role"] == "user"), "")


def _frame(lines: Iterable[Mapping[str, object]], columns: tuple[str, ...]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(lines), columns=list(columns))
