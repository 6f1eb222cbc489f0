"""Answers of every kind, by hand: what the exam calls right and what it does not."""

from typing import Any

import pytest

from agent_assets.conversations.exam import ExamTurn
from agent_assets.conversations.memories import Memory
from agent_assets.evaluation.exam_judge import Person, judge_turn

TOLD = {
    "m1": (
        "Where were you born?",
        "I was born in Boston in 1706. My father Josiah had seventeen children.",
        "childhood",
    ),
    "m2": (
        "What was your father's trade?",
        "My father was a dyer in England, and in Boston he boiled soap and made candles.",
        "family",
    ),
    "m3": (
        "How did you come to Philadelphia?",
        "I walked up Market Street with a great puffy roll under each arm, and ate the third.",
        "work",
    ),
    "m4": ("What did you hide?", "I never told my mother that I had read her letters.", "secrets"),
    "m5": ("Which books did you love?", "Plutarch's Lives, above all the others I owned.", "books"),
    "m6": (
        "Whom did you marry?",
        "I took Miss Read to wife on the first of September 1730.",
        "love",
    ),
}
ADA = Person(
    "en",
    {name: Memory(name, *texts) for name, texts in TOLD.items()},
    "You are Benjamin Franklin.",
)
GREAT_GRANDMOTHER = Person(
    "zh",
    {
        "m1": Memory("m1", "您在哪里出生？", "我一七六三年生在苏州沧浪亭旁边的一户读书人家里。"),
        "m2": Memory("m2", "您怕过什么？", "我小时候最怕癞蛤蟆，看见了就躲得远远的不敢动。"),
    },
)
BEFORE = [
    {"role": "user", "content": "Where were you born?"},
    {"role": "assistant", "content": "In Boston."},
]


def right(
    kind: str, answer: str, *evidence: str, person: Person = ADA, **fields: Any
) -> bool | None:
    """Whether this answer to a turn of that kind is right."""
    question = fields.pop("question", "Tell me, please.")
    turn = ExamTurn.model_validate(
        {"id": "t", "kind": kind, "question": question, "evidence": evidence, **fields}
    )
    return judge_turn(turn, answer, evidence, person).right


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("He was a dyer over in England.", True),
        ("A DYER, my dear. [m2]", True),
        ("In dyery matters I know little.", False),  # whole words
        ("I never told that.", False),
        ("I never told that. My father was a dyer in England.", False),  # a refusal is no answer
        ("", False),
        ("I walked up Market Street with a great puffy roll under each arm.", False),
    ],
)
def test_told_holds_an_expected_text_and_does_not_refuse(answer: str, is_right: bool) -> None:
    assert right("told", answer, "m2", expect=["dyer", "soap-boiler"]) is is_right


def test_told_is_no_list_of_everything() -> None:
    everything = " ".join(answer for _, answer, _ in TOLD.values())
    assert right("told", everything, "m2", expect=["dyer"]) is False


def test_told_without_expected_texts_tells_of_the_memory_and_invents_nothing() -> None:
    assert right("told", "My father was a dyer in England and made candles in Boston.", "m2")
    assert right("told", "He was an honest man.", "m2") is False
    invented = "My father was a dyer in England, and in Boston he boiled soap for 30 years."
    assert right("told", invented, "m2") is False
    wrong_id = "My father was a dyer in England, and in Boston he boiled soap. [m9]"
    assert right("told", wrong_id, "m2") is False


def test_words_of_a_memory_that_sound_like_a_refusal_are_none() -> None:
    assert right("told", TOLD["m4"][1], "m4", expect=["letters"]) is True
    assert right("never", TOLD["m4"][1]) is False


def test_a_follow_up_is_judged_as_told() -> None:
    turn: dict[str, Any] = {"history": BEFORE, "expect": ["1706"], "question": "and when was that?"}
    assert right("follow_up", "In 1706.", "m1", **turn) is True
    assert right("follow_up", "In Boston.", "m1", **turn) is False


def test_both_parts_of_a_compound_are_answered() -> None:
    expect = [["1706"], ["dyer", "candles"]]
    assert right("compound", "In 1706; and he made candles.", "m1", "m2", expect=expect) is True
    assert right("compound", "In 1706.", "m1", "m2", expect=expect) is False
    half = "In 1706. Of candles I never told."
    assert right("compound", half, "m1", "m2", expect=expect) is False
    both = f"{TOLD['m1'][1]} {TOLD['m2'][1]}"
    assert right("compound", both, "m1", "m2") is True
    assert right("compound", TOLD["m1"][1], "m1", "m2") is False


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("I was born in Boston in 1706. My father was a dyer in England. [m1] [m2]", True),
        ("I was born in Boston in 1706. I like it.", False),  # one memory only
        ("In 1706, and he was a dyer. I walked up Market Street with a great puffy roll.", False),
        ("In 1706, and he was a dyer. [m1] [m2] [m5]", False),
        ("In 1706, and he was a dyer, and in 1812 I died.", False),
        ("I never told that.", False),
    ],
)
def test_broad_tells_of_two_memories_and_of_no_other(answer: str, is_right: bool) -> None:
    fields: dict[str, Any] = {"expect": [["1706"], ["dyer"], ["no such text"]]}
    assert right("broad", answer, "m1", "m2", "m6", **fields) is is_right


def test_broad_with_one_memory_asks_for_that_one() -> None:
    assert right("broad", "My father was a dyer in England.", "m2") is True


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("Good morning, my dear! How good of you to come.", True),
        ("That is something I never told.", False),
        ("childhood, family, work, secrets, books", False),
        ("I walked up Market Street with a great puffy roll under each arm.", False),
        ("Hello! [m3]", False),
        ("Hello grandpa", False),
        ("Well " * 50, False),
        ("", False),
    ],
)
def test_social_is_a_short_reply_without_a_memory(answer: str, is_right: bool) -> None:
    assert right("social", answer, question="Hello grandpa") is is_right


def test_social_may_expect_something() -> None:
    who: dict[str, Any] = {"question": "Who are you?", "expect": ["Franklin"]}
    assert right("social", "I am Benjamin Franklin, your old friend.", **who) is True
    assert right("social", "I am well, thank you.", **who) is False


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("I never told that.", True),
        ("I do not remember, I am afraid.", True),
        ("I never told that. Of my books I told: Plutarch's Lives, above all.", True),
        ("Plutarch's Lives, above all the others I owned. More I never told.", False),
        ("I never told that, but it was in 1750.", False),
        ("I never told that, but her name was Deborah.", False),
        ("Plutarch's Lives, above all the others I owned.", False),
        ("Blue.", False),
        ("", False),
    ],
)
def test_never_refuses_before_it_says_anything_else(answer: str, is_right: bool) -> None:
    assert right("never", answer, question="What colour were her eyes?") is is_right


def test_chinese() -> None:
    def told(answer: str, **fields: Any) -> bool | None:
        return right("told", answer, "m1", person=GREAT_GRANDMOTHER, **fields)

    assert told("生在沧浪亭边上。", expect=["沧浪亭"]) is True
    assert told("这个我从没讲过。", expect=["沧浪亭"]) is False
    assert told("我一七六三年生在苏州沧浪亭旁边。") is True
    assert right("never", "这个我从没讲过。", person=GREAT_GRANDMOTHER) is True
    assert right("never", "我小时候最怕癞蛤蟆，看见了就躲。", person=GREAT_GRANDMOTHER) is False
    assert right("social", "你来啦，快坐。", person=GREAT_GRANDMOTHER) is True
    assert right("social", "我小时候最怕癞蛤蟆，看见了就躲。", person=GREAT_GRANDMOTHER) is False


def test_where_nobody_listed_refusals_never_has_no_verdict() -> None:
    assert right("never", "Je ne l'ai jamais raconté.", person=Person("fr", ADA.memories)) is None
