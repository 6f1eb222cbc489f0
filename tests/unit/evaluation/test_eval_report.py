"""report.json, its short forms, the page and the plots."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import Usage
from agent_assets.evaluation.bootstrap import Interval
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.pages import plots
from agent_assets.evaluation.pages.report_html import render_report
from agent_assets.evaluation.report import (
    ServingCost,
    answered_share,
    build_report,
    headline_rows,
    markdown_summary,
    speed_summary,
    speed_totals,
)
from agent_assets.evaluation.report_schema import Report, read_report
from support.evaluation_cases import TOOLS, call, item, rollout

SECRET = "the-blue-boat-at-Tuckahoe"
ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
RIGHT = [call("get_current_date")]


@pytest.fixture
def items() -> list[EvalItem]:
    memory = {
        "kind": "recall_open",
        "question": f"Where? {ATTACK}",
        "gold_answer": SECRET,
        "memory_ids": ["m-1"],
    }
    return [
        *(item(f"seen-{n}") for n in range(6)),
        *(item(f"unseen-{n}", wording="unseen") for n in range(4)),
        item("told", **memory),
        item("untold", kind="abstention"),
    ]


@pytest.fixture
def results(items: list[EvalItem]) -> dict[str, list[ItemResult]]:
    trained = [
        rollout(each, RIGHT if each.kind == "tool" else (), f"{SECRET} {ATTACK} m-1")
        for each in items
    ]
    trained[0] = rollout(items[0], error="EngineFailed")
    return {"base": [rollout(each, answer=ATTACK) for each in items], "sft": trained}


def report_of(
    items: list[EvalItem],
    results: dict[str, list[ItemResult]],
    seconds: float = 9.0,
    serving: dict[str, ServingCost] | None = None,
) -> Report:
    return build_report(
        pipeline="elder_companion",
        partition="e1",
        items=items,
        results=results,
        tools=TOOLS,
        seconds=seconds,
        seed=1,
        samples=200,
        serving=serving,
    )


def test_report_has_the_promised_shape(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    report = report_of(items, results)
    assert report.items == {
        "total": 12,
        "abstention": 1,
        "recall_open": 1,
        "tool": 10,
        "tool_seen_wording": 6,
        "tool_unseen_wording": 4,
    }
    for system in ("base", "sft"):
        assert {
            "tool_call_accuracy",
            "tool_call_accuracy_unseen_wording",
            "tool_call_accuracy_by_tool",
            "majority_baseline",
            "answer_accuracy",
            "recall_open",
            "recall_closed",
            "abstention",
        } <= report.variants[system].model_dump().keys()
    assert report.variants["base"].means["recall_closed"] is None
    assert report.variants["sft"].tool_call_accuracy_by_tool == {"get_current_date": 1.0}
    delta = report.deltas["sft_vs_base"]
    assert delta["tool_call_accuracy"] == Interval(1.0, 1.0, 1.0)
    assert delta["recall_closed"] is None
    assert Report.model_validate_json(report.to_json()) == report


def test_speed_and_memory_are_told_by_system_and_are_no_content(items: list[EvalItem]) -> None:
    results = {
        name: [rollout(each, usage=Usage(10, 3)) for each in items] for name in ("base", "sft")
    }
    plain = report_of(items, results)
    serving = {"base": ServingCost(6.0, 300 * 2**20), "sft": ServingCost(12.0, 200 * 2**20)}
    report = report_of(items, results, serving=serving)
    assert report.timings["base"].model_dump() | {
        "item_seconds_median": 0,
        "item_seconds_max": 0,
    } == {
        "items": 12,
        "item_seconds_median": 0,
        "item_seconds_max": 0,
        "seconds": 6.0,
        "prompt_tokens": 120,
        "completion_tokens": 36,
        "tokens_per_s": 6.0,
        "peak_memory_mb": 300,
    }
    assert speed_totals(report, 12.0) == {
        "prompt_tokens": 240,
        "completion_tokens": 72,
        "tokens_per_s": 6.0,
        "peak_memory_mb": 300,
    }
    assert "| SFT | 12 | 12.0 | 120 | 36 | 3.0 | 200 |" in speed_summary(report)
    assert "| Base | 12 | – | 120 | 36 | – | – |" in speed_summary(plain)  # not measured
    assert speed_totals(plain, 12.0)["peak_memory_mb"] is None
    assert report.digest() == plain.digest()


def test_failed_items_are_named_and_neither_scored_nor_paired(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    report = report_of(items, results)
    assert report.failures == {"base": {}, "sft": {"seen-0": "EngineFailed"}}
    assert report.scored["sft"]["tool_call_accuracy"] == 5
    assert report.variants["sft"].means["tool_call_accuracy"] == 1.0
    assert answered_share(report) == pytest.approx(11 / 12)
    assert headline_rows(report)[0].items == 5


def test_later_systems_are_compared_with_every_earlier_one(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    report = report_of(items, results | {"rl": results["sft"]})
    assert list(report.deltas) == ["sft_vs_base", "rl_vs_base", "rl_vs_sft"]
    assert set(headline_rows(report)[0].changes) == {"sft", "rl"}


def test_digest_depends_on_findings_and_not_on_time(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    digest = report_of(items, results).digest()
    assert digest == report_of(items, results, seconds=99.0).digest()
    assert digest != report_of(items, results | {"sft": results["base"]}).digest()


def test_short_forms_hold_no_memory_text(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    report = report_of(items, results)
    summary = markdown_summary(report)
    assert "| Tool calls exactly right | 5 | 0.0% | 100.0% | +100.0 [+100.0, +100.0] |" in summary
    for shown in (report.to_json(), summary, repr(headline_rows(report))):
        assert SECRET not in shown and "alert" not in shown and "Where?" not in shown


def test_a_report_of_version_0_1_is_read_and_still_has_its_data_version(tmp_path: Path) -> None:
    """Recorded before reports were typed: `release` reads them for as long as a store keeps
    them.
    """
    recorded = Path(__file__).with_name("report_0_1.json").read_text(encoding="utf-8")
    (tmp_path / "report.json").write_text(recorded, encoding="utf-8")
    report = read_report(tmp_path)
    assert report.digest() == "bb416b04a24077d935f08f8a5be1a8950c08e704541842a6ca9483e83ac7bd32"
    assert json.loads(report.to_json()) == json.loads(recorded)
    assert (report.reference, report.candidate) == ("base", "sft")
    assert (
        report.scores["sft"]["told"]["recall_open"] == 1.0 and report.scores["sft"]["seen-0"] == {}
    )


class _Page(HTMLParser):
    """Collects tags that could run or load something, and the outcomes of the item rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts = 0
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.outcomes: dict[str, int] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        outcome = dict(attrs).get("data-outcome")
        if outcome:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def test_page_escapes_memories_and_loads_nothing(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    report = report_of(items, results)
    html = render_report(
        report, items, results, training_data={"rows": 40, ATTACK: 1, "calls_by_tool": {"a": 4}}
    )
    page = _Page(html)
    assert (page.scripts, page.handlers, page.loads) == (1, [], [])
    assert SECRET in html
    assert page.outcomes == {"gained": 10, "failed": 1, "wrong": 1}


def test_page_of_one_system_alone(
    items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    only = {"base": results["base"]}
    html = render_report(report_of(items, only), items, only, training_data={})
    assert "nothing to compare with" in html


CURVE = [2.0 / (1 + step / 20) + (step * 37 % 11) / 50 for step in range(400)]
PLOTS: dict[str, Callable[[Report], bytes]] = {
    "before_after": plots.before_after,
    "loss": lambda _: plots.loss_curve(list(range(400)), CURVE),
    "loss of one step": lambda _: plots.loss_curve([1], [0.5]),
    "coverage": lambda _: plots.coverage_bars({"get_lng_price": 40, "get_current_date": 0}),
    "coverage of nothing": lambda _: plots.coverage_bars({}),
}


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_are_small_repeatable_pngs(
    plot: str, items: list[EvalItem], results: dict[str, list[ItemResult]]
) -> None:
    report = report_of(items, results)
    png = PLOTS[plot](report)
    assert png.startswith(b"\x89PNG") and len(png) < 40_000
    assert png == PLOTS[plot](report)


def test_png_as_markdown_carries_its_data() -> None:
    assert plots.png_markdown(b"\x89PNG", "Loss") == "![Loss](data:image/png;base64,iVBORw==)"
