"""The peer without a model, and what a report says of an agent that does not beat it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import Message, ToolCall, ToolResult, ToolSchema
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.pages.report_html import render_report
from agent_assets.evaluation.peers import with_peers
from agent_assets.evaluation.report import build_report, markdown_summary
from agent_assets.evaluation.report_schema import Report, read_report
from agent_assets.evaluation.runner import run_items
from agent_assets.evaluation.search_and_quote import SearchAndQuote, can_search
from agent_assets.serving_settings import AnswerConfig
from agent_assets.text.answers import says_never_told
from support.evaluation_cases import item, rollout

SEARCH = ToolSchema(
    "search_memories", "Search", {"type": "object", "properties": {"query": {"type": "string"}}}
)
SHORT = "I sold candles with my father in Boston."
LONG = (
    "When I was small we had many visitors on every day of the week and I liked it very much. "
    "My brother James printed a newspaper in Queen Street and I set the type for it at night. "
    "In winter the harbour froze, and all the boys of our street went out with sledges of wood."
)


class Memories:
    """Finds one memory for every question, or nothing; notes what was searched for."""

    def __init__(self, text: str | None) -> None:
        self.text, self.queries = text, list[str]()

    async def call(self, call: ToolCall) -> ToolResult:
        self.queries.append(call.arguments["query"])
        found = [] if self.text is None else [{"id": "m-1", "q": "?", "text": self.text}]
        return ToolResult(json.dumps(found), is_error=False)


def answer(question: str, memories: Memories, language: str = "en") -> ItemResult:
    asked = item("told", kind="recall_open", question=question, language=language)
    results = run_items(
        SearchAndQuote(language), memories, (SEARCH,), [asked], AnswerConfig(), concurrency=1
    )
    return asyncio.run(results)[0]


def test_it_searches_for_the_question_and_quotes_what_it_finds_with_its_id() -> None:
    memories = Memories(SHORT)
    assert answer("What did you sell?", memories).answer == f"{SHORT} [m-1]"
    assert memories.queries == ["What did you sell?"]


def test_of_a_long_memory_it_quotes_the_sentence_that_answers_best() -> None:
    said = answer("Which newspaper did your brother print?", Memories(LONG)).answer
    assert said.startswith("My brother James printed") and said.endswith("at night. [m-1]")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_says_that_it_cannot_know_where_nothing_is_found(language: str) -> None:
    said = answer("Had you a dog?", Memories(None), language).answer
    assert says_never_told(said, language) and "[" not in said


def test_without_a_search_there_is_no_such_peer() -> None:
    assert can_search([SEARCH]) and not can_search([replace(SEARCH, name="get_price")])


def report_of(quoted: int, trained: int, items: int = 20) -> tuple[Report, list[EvalItem]]:
    """A report on questions of which the peer, and the agent, have so many right."""
    asked = [
        item(f"i{n}", kind="recall_open", question="Where?", gold_answer=SHORT)
        for n in range(items)
    ]
    results = {
        system: [
            rollout(each, answer=SHORT if n < right else "No.") for n, each in enumerate(asked)
        ]
        for system, right in (("base", 0), ("search_and_quote", quoted), ("sft", trained))
    }
    report = build_report(
        pipeline="p", partition="ada", items=asked, results=results, tools=[], seconds=1, seed=1
    )
    return with_peers(report, asked), asked


@pytest.mark.parametrize(
    ("quoted", "trained", "says", "beats"),
    [
        (4, 16, "SFT beats search and quote: 16 against 4 of 20 right (+60.0 points [", True),
        (12, 14, "SFT does NOT beat search and quote: 14 against 12 of 20 right", False),
        (16, 4, "SFT is WORSE than search and quote: 4 against 16 of 20 right", False),
    ],
)
def test_the_first_line_says_whether_the_agent_beats_search_and_quote(
    quoted: int, trained: int, says: str, *, beats: bool
) -> None:
    report, asked = report_of(quoted, trained)
    assert report.first_line.startswith(says)
    assert report.peers["search_and_quote"].beats is beats
    assert markdown_summary(report).splitlines()[0] == report.first_line
    results = {
        variant: [rollout(each, answer="No.") for each in asked] for variant in report.variants
    }
    page = render_report(report, asked, results, training_data={})
    assert (
        page.index(says.split(" (", maxsplit=1)[0]) < page.index("Results")
        and "nobody trained" in page
    )


def test_shares_have_intervals_and_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report, _ = report_of(12, 14)
    share = report.shares["sft"]["recall_open"]
    assert (share.mean, round(share.low, 2), round(share.high, 2)) == (0.7, 0.48, 0.85)
    (tmp_path / "report.json").write_text(report.to_json(), encoding="utf-8")
    assert read_report(tmp_path) == report
    assert report.trained == ["sft"] and report.candidate == "sft"


def test_a_report_of_before_has_no_first_line_and_shows_no_peers() -> None:
    report, asked = report_of(12, 14)
    before = Report.model_validate_json(
        Path(__file__).with_name("report_0_1.json").read_text(encoding="utf-8")
    )
    assert before.first_line == "" and before.trained == ["sft", "rl"]
    old = report.model_copy(update={"peers": {}, "shares": {}})
    results = {variant: [rollout(each, answer="No.") for each in asked] for variant in old.variants}
    assert "nobody trained" not in render_report(old, asked, results, training_data={})
    assert markdown_summary(old).startswith("| metric")


def test_an_item_that_failed_counts_for_neither() -> None:
    asked = [item("a", kind="abstention"), item("b", kind="abstention")]
    failed = replace(rollout(asked[0]), error="EngineFailed")
    results = {
        "base": [failed, rollout(asked[1], answer="I never told that.")],
        "sft": [rollout(each, answer="I never told that.") for each in asked],
    }
    report = build_report(
        pipeline="p", partition=None, items=asked, results=results, tools=[], seconds=1, seed=1
    )
    assert with_peers(report, asked).peers["base"].items == 1


def test_it_is_given_the_question_alone() -> None:
    """A follow-up is searched for in its own words: this peer knows nothing of what was said."""
    model = SearchAndQuote("en")
    messages = [Message("user", "Your father?"), Message("assistant", "He made candles.")]
    reply = asyncio.run(model.complete([*messages, Message("user", "And then?")], [SEARCH]))
    assert reply.tool_calls[0].arguments == {"query": "And then?"}
