"""Scoring of rollouts: what is exactly right, what is not, and which items a metric covers."""

import pytest

from agent_assets.conversations.messages import JsonObject, ToolCall
from agent_assets.evaluation.metrics import (
    accuracy_by_tool,
    calls_match,
    confusion,
    majority_baseline,
    mean_scores,
    score_items,
)
from support.evaluation_cases import FACTORIES, LNG, TOOLS, call, item, rollout

SCHEMAS = {tool.name: tool for tool in TOOLS}
PRICE = call("get_lng_price", region="East", start_date="2025-01-02")
PLANTS = call("get_factory_prices", factory_names=["A", "B"], days=3)


def match(gold: list[JsonObject], *calls: JsonObject) -> bool:
    return calls_match(
        gold, [ToolCall(c["name"], c["arguments"], str(n)) for n, c in enumerate(calls)], SCHEMAS
    )


@pytest.mark.parametrize(
    "written",
    [
        call("get_lng_price", region="East", start_date="2025-01-02"),
        call("get_lng_price", region=" East ", start_date="2025-01-02"),
        call("get_lng_price", region="East", start_date="2025-01-02", end_date=None),
    ],
)
def test_equal_calls_are_right(written: JsonObject) -> None:
    assert match([PRICE], written)
    assert match([written], PRICE)


@pytest.mark.parametrize(
    "written",
    [
        call("get_lng_prices", region="East", start_date="2025-01-02"),
        call("get_lng_price", region="East"),
        call("get_lng_price", region="east", start_date="2025-01-02"),
        call("get_lng_price", region="East", start_date="2025-01-02", end_date=""),
        call("get_lng_price", region="East", start_date="2025-01-02", unit="t"),
        call("get_lng_price", region="East", start_date=20250102),
        call("get_lng_price", region="East", start_date=float("nan")),
    ],
)
def test_any_other_argument_is_wrong(written: JsonObject) -> None:
    assert not match([PRICE], written)


def test_numbers_and_selections_compare_by_value() -> None:
    assert match([PLANTS], call("get_factory_prices", factory_names=["B", "A"], days=3.0))
    assert not match([PLANTS], call("get_factory_prices", factory_names=["A", "B"], days="3"))
    assert not match([PLANTS], call("get_factory_prices", factory_names=["A", "B", "B"], days=3))
    assert not match([call("get_factory_prices", days=1)], call("get_factory_prices", days=True))


def test_number_of_calls_counts_and_their_order_does_not() -> None:
    assert match([PRICE, PLANTS], PLANTS, PRICE)
    assert not match([PRICE], PRICE, PRICE)
    assert not match([PRICE])
    assert match([])
    assert not match([], PRICE)


def test_the_two_kinds_of_wording_are_apart() -> None:
    seen, unseen = item("a"), item("b", wording="unseen")
    right = call("get_current_date")
    means = mean_scores(score_items([rollout(seen, [right]), rollout(unseen, [PRICE])], TOOLS))
    assert means["tool_call_accuracy"] == 1.0
    assert means["tool_call_accuracy_unseen_wording"] == 0.0
    assert means["tool_name_accuracy"] == 0.5
    assert (
        means["recall_open"] is None
        and means["abstention"] is None
        and means["answer_accuracy"] is None
    )


def test_answer_has_to_state_every_value() -> None:
    priced = item(gold_calls=[PRICE], gold_values=["2025-01-02", "4321.5"])
    both = rollout(priced, [PRICE], "On January 2, 2025 it was 4,321.50.")
    answered = rollout(priced, [PRICE], "It was 4,321.50.")
    assert score_items([both], TOOLS)["i1"]["answer_accuracy"] == 1.0
    assert score_items([answered], TOOLS)["i1"]["answer_accuracy"] == 0.0


def test_recall_and_citation() -> None:
    born = item(
        kind="recall_open",
        gold_answer="I was born in Boston, one of seventeen.",
        memory_ids=["m-1"],
        question="Where were you born?",
    )
    results = [{"id": "m-1", "text": "x"}, {"id": "m-2", "text": "y"}]
    search = [call("search_memories", query="born")]
    good = score_items(
        [rollout(born, search, "In Boston, one of seventeen [m-1].", tool_result=results)], TOOLS
    )["i1"]
    assert good == {
        "recall_open": 1.0,
        "recall_open_share": 1.0,
        "false_abstention": 0.0,
        "citation": 1.0,
    }
    other = score_items(
        [rollout(born, search, "In Boston, of seventeen [m-1][m-2].", tool_result=results)], TOOLS
    )["i1"]
    assert (other["recall_open"], other["citation"]) == (1.0, 0.0)
    shy = score_items(
        [rollout(born, search, "I never told you that.", tool_result=results)], TOOLS
    )["i1"]
    assert shy == {
        "recall_open": 0.0,
        "recall_open_share": 0.0,
        "false_abstention": 1.0,
        "citation": 0.0,
    }


def test_recalling_a_memory_about_not_telling_is_no_abstention() -> None:
    secret = item(
        kind="recall_closed",
        question="Did your mother know?",
        gold_answer="I never told her of the letter.",
    )
    scores = score_items([rollout(secret, answer="I never told her of the letter.")], TOOLS)["i1"]
    assert scores["recall_closed"] == 1.0 and scores["false_abstention"] == 0.0


def test_abstention_fails_when_a_memory_is_cited_or_something_is_told() -> None:
    flight = item(kind="abstention", question="Did you fly?")
    others = item("i2", kind="recall_open", gold_answer="x", memory_ids=["m-9"])

    def abstains(reply: str) -> float:
        return score_items([rollout(flight, answer=reply), rollout(others, answer="x")], TOOLS)[
            "i1"
        ]["abstention"]

    assert abstains("I never told that.") == 1.0
    assert abstains("I never told that, see m-9.") == 0.0
    assert abstains("Yes, to Paris.") == 0.0
    assert abstains("") == 0.0


def test_where_nobody_knows_how_a_language_declines_abstention_has_no_score() -> None:
    flight = item(kind="abstention", question="Avez-vous volé ?", language="fr")
    french_memory = item(
        "i2",
        kind="recall_closed",
        question="Où ?",
        gold_answer="Je vendais du pain à Lyon.",
        language="fr",
    )
    scores = score_items(
        [
            rollout(flight, answer="Je ne l'ai jamais dit."),
            rollout(french_memory, answer="Du pain à Lyon."),
        ],
        TOOLS,
    )
    assert scores["i1"] == {}
    assert scores["i2"] == {"recall_closed": 1.0, "recall_closed_share": 4 / 6}
    assert mean_scores(scores)["abstention"] is None


def test_a_failed_item_has_no_scores() -> None:
    failed = rollout(item("a"), error="EngineFailed")
    scores = score_items([failed, rollout(item("b"), [call("get_current_date")])], TOOLS)
    assert scores["a"] == {}
    assert mean_scores(scores)["tool_call_accuracy"] == 1.0
    assert confusion([failed], TOOLS) == {}


def test_tables_by_tool() -> None:
    dates = [item(f"d{number}") for number in range(3)]
    price = item("p", gold_calls=[PRICE])
    results = [
        rollout(dates[0], [call("get_current_date")]),
        rollout(dates[1]),
        rollout(dates[2], [call("made up 名")]),
        rollout(price, [PRICE, PLANTS]),
    ]
    scores = score_items(results, TOOLS)
    assert accuracy_by_tool(results, scores, "tool_call_accuracy") == {
        "get_current_date": pytest.approx(1 / 3),
        "get_lng_price": 0.0,
    }
    assert accuracy_by_tool(results, scores, "tool_call_accuracy_unseen_wording") == {}
    assert confusion(results, TOOLS) == {
        "get_current_date": {"(no call)": 1, "(unknown tool)": 1, "get_current_date": 1},
        "get_lng_price": {f"{FACTORIES.name} + {LNG.name}": 1},
    }
    assert majority_baseline([*dates, price]) == 0.75
    assert majority_baseline([item(kind="abstention")]) is None
