"""Turns of an exam in a report: scored by kind, and absent where there is no exam."""

from agent_assets.conversations.exam import ExamTurn
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.memories import Memory
from agent_assets.conversations.messages import Message
from agent_assets.evaluation.conversation import conversation_items
from agent_assets.evaluation.exam_judge import Person
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.pages.report_html import render_report
from agent_assets.evaluation.report import build_report, headline_rows

PERSON = Person("en", {"m1": Memory("m1", "What did you sell?", "I sold candles in Boston.")})
TURNS = [
    ExamTurn(id="a", kind="told", question="your trade?", evidence=("m1",), expect=("candles",)),
    ExamTurn.model_validate(
        {
            "id": "b",
            "kind": "never",
            "question": "And <your> dog?",
            "history": [{"role": "user", "content": "Had you <pets>?"}],
        }
    ),
    ExamTurn(id="c", kind="told", question="gone", evidence=("m2",)),
]
ITEMS = conversation_items(TURNS, {"a": ["m1"], "b": []}, PERSON, "You are Ada.")


def answered(item: EvalItem, text: str) -> ItemResult:
    messages = (Message("user", item.question), Message("assistant", text))
    return ItemResult(item, messages, "answered", 1.0)


def test_a_report_has_shares_by_kind_and_the_page_shows_what_was_said_before() -> None:
    results = {
        "base": [answered(item, "I never told that.") for item in ITEMS],
        "sft": [answered(item, "Candles, my dear.") for item in ITEMS],
    }
    report = build_report(
        pipeline="p", partition="ada", items=ITEMS, results=results, tools=[], seconds=1, seed=1
    )
    assert [item.id for item in ITEMS] == ["exam-a", "exam-b"]
    assert report.items["conversation"] == 2
    means = {variant: scores.means for variant, scores in report.variants.items()}
    assert (means["base"]["conversation_told"], means["base"]["conversation_never"]) == (0, 1)
    assert (means["sft"]["conversation_told"], means["sft"]["conversation_never"]) == (1, 0)
    assert means["sft"]["conversation"] == 0.5 and means["sft"]["conversation_broad"] is None
    rows = [row.metric for row in headline_rows(report)]
    assert rows == ["conversation", "conversation_told", "conversation_never"]
    page = render_report(report, ITEMS, results, training_data={})
    assert "Had you &lt;pets&gt;?" in page and "<your>" not in page


def test_without_an_exam_a_report_says_nothing_of_conversations() -> None:
    item = EvalItem("i", "abstention", "seen", "en", "Your dog?", "You are Ada.")
    results = {"base": [answered(item, "I never told that.")]}
    report = build_report(
        pipeline="p", partition=None, items=[item], results=results, tools=[], seconds=1, seed=1
    )
    assert "conversation" not in report.to_json()
