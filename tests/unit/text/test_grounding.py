"""What an answer may say: examples in English and Chinese, right ones and wrong ones."""

import json

import pytest

from agent_assets.conversations.messages import Message
from agent_assets.text.answers import offered_ids
from agent_assets.text.grounding import Evidence, contradictions, not_grounded

PRICES = json.dumps({"2025-04-01": 2.49, "2025-04-02": 2.35, "2025-04-03": 2.41})
FACTORIES = json.dumps(
    {
        "2025-04-01": {"Dazhou": 4429.55, "Ordos": 4236.03},
        "2025-04-02": {"Dazhou": 4431, "Ordos": 4230},
    }
)
LISTED = json.dumps(
    [{"date": "2025-01-15", "price": 4981.1}, {"date": "2025-01-16", "price": 5002.0}]
)
MEMORY = json.dumps(
    [{"id": "m-1", "text": "I never told my mother that I sailed to Bergen with Ole in 1931."}]
)
MEMORY_ZH = json.dumps(
    [{"id": "m-2", "text": "我和阿兰在苏州的「沧浪亭」旁边住了三年。"}], ensure_ascii=False
)


def ids(result: str) -> frozenset[str]:
    return offered_ids([Message("tool", result)])


def evidence(result: str, question: str = "") -> Evidence:
    return Evidence([result], [question], ids(result))


@pytest.mark.parametrize(
    ("result", "question", "answer"),
    [
        (PRICES, "", "2025-04-01: 2.49, 2025-04-02: 2.35."),
        (PRICES, "", "On April 1, 2025 it was 2.49; on 2 April 2025 about 2.4."),
        (PRICES, "", "四月的价格：2025年4月1日2.49，2025年4月2日2.35。"),
        (PRICES, "", "There are 3 prices; the first is 2.49."),
        (LISTED, "", "It was 4,981.1 on 2025-01-15."),
        (
            FACTORIES,
            "Dazhou?",
            "Between Dazhou and Ordos, Dazhou was higher: 4429.55 on 2025-04-01.",
        ),
        (MEMORY, "", "I sailed to Bergen with Ole in 1931. [m-1]"),
        (
            '[{"text": "At Walter Price’s ship-yard, with James\'s tools."}]',
            "",
            "I worked at Price's ship-yard with James.",
        ),
        ('[{"text": "We rowed in Ole and Per\'s boat."}]', "", "I was in Ole's and Per's boat."),
        (MEMORY_ZH, "", "我和阿兰在「沧浪亭」旁边住了三年。[m-2]"),
        ("14:05", "What time is it in Lisbon?", "It is 14:05 in Lisbon."),
        ("[]", "Did you fly?", "I never told about that."),
    ],
)
def test_answers_that_say_what_results_say(result: str, question: str, answer: str) -> None:
    assert not_grounded(answer, evidence(result, question), "en") == []
    assert contradictions(answer, evidence(result, question), "en", may_deny=False) == []


@pytest.mark.parametrize(
    ("result", "answer", "says"),
    [
        (PRICES, "It was 7.5 on 2025-04-01.", "1 numbers"),
        (PRICES, "It was 2.49 on 2025-05-09.", "1 dates"),
        (PRICES, "价格是2.49，日期2025年5月9日。", "1 dates"),
        (PRICES, "The price in Lisbon was 2.49.", "1 names"),
        (PRICES, "The average is 2.4166.", "1 numbers"),
        (MEMORY, "I sailed to Bergen in 1931. [m-9]", "1 ids"),
        (MEMORY, "I sailed to Bergen with Per.", "1 names"),
        (MEMORY_ZH, "我们住在「拙政园」旁边。[m-2]", "1 names"),
    ],
)
def test_what_stands_nowhere_is_not_grounded(result: str, answer: str, says: str) -> None:
    reasons = not_grounded(answer, evidence(result), "en")
    assert any(says in detail for detail in reasons)
    assert not any(
        word in detail for detail in reasons for word in ("Lisbon", "Per", "7.5", "拙政园")
    )


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (PRICES, "2025-04-01: 2.35, 2025-04-02: 2.49."),
        (PRICES, "On 2 April 2025 it was 2.49."),
        (PRICES, "2025年4月3日的价格是2.35。"),
        (LISTED, "On 2025-01-15 it cost 5002.0."),
        (FACTORIES, "Dazhou: 4236.03; Ordos: 4429.55."),
        (FACTORIES, "Dazhou on 2025-04-02: 4429.55."),
        (json.dumps({"price": 5, "volume": 7}), "The volume is 5."),
        (PRICES, "I cannot look that up."),
        (PRICES, "我查不到这个价格。"),
    ],
)
def test_what_results_deny_contradicts(result: str, answer: str) -> None:
    assert contradictions(answer, evidence(result), "en", may_deny=False)


def test_who_is_right_to_deny_does_not_contradict() -> None:
    assert contradictions("I cannot look that up.", evidence(PRICES), "en", may_deny=True) == []


@pytest.mark.parametrize(
    "answer", ["", "9" * 40, "0." + "3" * 60, "[[[", "：；，。", "\U0001f600 [m-1] 2025-13-45"]
)
def test_odd_answers_are_read(answer: str) -> None:
    for result in (PRICES, "", "not json", "5", "null", "[[1], {}]", "1e400"):
        not_grounded(answer, Evidence([result]), "en")
        contradictions(answer, Evidence([result]), "en", may_deny=False)
