"""Which questions are one and the same."""

import pytest

from agent_assets.synthesis.questions.dedup import Distinct


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What is the price in Sichuan?", "what is the PRICE in Sichuan"),
        ("四川的价格是多少？", "四川的价格是多少"),
        ("Ｗhat is 5?", "What is 5?"),
        (
            "What was the auction price in Sichuan on 2025-03-01?",
            "What was the auction price in Sichuan on 2025-03-01, please?",
        ),
        (
            "请问2025年3月1日四川的天然气竞拍价格是多少？",
            "2025年3月1日四川的天然气竞拍价格是多少？",
        ),
    ],
)
def test_the_same_question_is_asked_once(first: str, second: str) -> None:
    distinct = Distinct(0.8)
    assert distinct.add(first)
    assert not distinct.add(second)
    assert distinct.dropped.total() == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "What was the price in Sichuan on 2025-03-01?",
            "What was the price in Sichuan on 2025-03-02?",
        ),
        ("What is twice 5?", "What is twice 6?"),
        ("四川的价格是多少？", "四川今天的天气怎么样？"),
        ("Where were you born?", "Where did you learn to sail?"),
        ("a", "b"),
        ("", "?a"),
    ],
)
def test_other_values_are_another_question(first: str, second: str) -> None:
    distinct = Distinct(0.8)
    assert distinct.add(first) and distinct.add(second)


def test_the_threshold_decides() -> None:
    texts = ("Tell me the price of gas in Hunan now", "Tell me the price of gas in Henan now")
    assert not all(map(Distinct(0.5).add, texts))
    assert all(map(Distinct(1.0).add, texts))
