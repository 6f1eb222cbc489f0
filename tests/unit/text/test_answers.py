"""What counts as stated, recalled, cited and declined in a final answer."""

import pytest

from agent_assets.conversations.messages import Message, ToolCall
from agent_assets.text.answers import (
    cited_ids,
    final_answer,
    offered_ids,
    recall_share,
    says_never_told,
    states_value,
)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("3456.7", "The price was 3,456.70 yuan."),
        ("3456.70", "价格为３４５６．７元。"),
        ("4200", "4,200"),
        ("-3", "It fell to -3 degrees."),
        ("1785", "我生于1785年。"),
        ("1785", "Born 1785-03-02."),
        ("2025-04-22", "Today is April 22, 2025."),
        ("2025-04-22", "on the 22nd of Apr 2025"),
        ("2025-04-22", "今天是2025年4月22日。"),
        ("14:05:00", "It is 14:05:00 now."),
        ("内蒙古", "内蒙古的价格"),
        ("Hillsborough", "near hillsborough, twelve miles"),
    ],
)
def test_value_is_stated_in_any_usual_format(value: str, answer: str) -> None:
    assert states_value(value, answer, "en")


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("3456.7", "The price was 3457 yuan."),
        ("3456.7", "13456.7"),
        ("4", "Today is 2025-04-22."),
        ("3", "It fell to -3 degrees."),
        ("2025-04-22", "Today is April 23, 2025."),
        ("York", "Yorkshire"),
        ("", "anything"),
        ("5", ""),
    ],
)
def test_other_values_are_not(value: str, answer: str) -> None:
    assert not states_value(value, answer, "en")


def test_recall_counts_only_what_the_question_does_not_give_away() -> None:
    gold = "My father Josiah had seventeen children."
    question = "How many children did your father have?"
    assert recall_share(gold, question, "How many children your father had.", "en") == 0.0
    assert recall_share(gold, question, "Josiah had SEVENTEEN!", "en") == 1.0
    assert recall_share(gold, question, "He had seventeen.", "en") == 0.5


def test_recall_reads_chinese_by_character_pairs() -> None:
    gold = "我家住在苏州沧浪亭边。"
    question = "您家住哪里?"
    assert recall_share(gold, question, "苏州沧浪亭边", "en") == 1.0
    assert recall_share(gold, question, "北京城里", "en") == 0.0
    assert 0.3 < recall_share(gold, question, "苏州城里, 靠近沧浪", "en") < 0.8


def test_a_memory_that_only_repeats_its_question_is_still_measurable() -> None:
    assert recall_share("I liked chess.", "You liked chess?", "chess, I liked it", "en") == 1.0
    assert recall_share("Yes.", "Did you?", "No.", "en") == 0.0


@pytest.mark.parametrize(
    "reply",
    [
        "I never told you about that.",
        "I have not told anyone about flying.",
        "I don't know.",
        "I’m sorry, I do not remember that.",
        "There is no memory of that.",
        "That is not among my memories.",
        "My tools cannot look that up.",
        "这件事我没有讲过。",
        "我从来没跟你们说起过这个。",
        "我不知道。",
        "没有找到相关的记忆。",
        "抱歉,我的工具无法查询股票。",
    ],
)
def test_declining_is_recognised(reply: str) -> None:
    assert says_never_told(reply, "en")


@pytest.mark.parametrize(
    "reply",
    [
        "I was born in Boston.",
        "我家住在苏州沧浪亭边。",
        "",
        "We told stories by the fire.",
        "他没有钱,也没有田。",
    ],
)
def test_telling_is_not_declining(reply: str) -> None:
    assert not says_never_told(reply, "en")


def test_final_answer_is_the_last_text_only() -> None:
    call = ToolCall("get_current_date", {}, "c1")
    talk = [
        Message("user", "?"),
        Message("assistant", "Let me look.", (call,)),
        Message("tool", "x", (), "c1"),
    ]
    assert final_answer(talk) == ""
    assert (
        final_answer([*talk, Message("assistant", "<think>hm</think>\nIt is Tuesday.")])
        == "It is Tuesday."
    )
    assert final_answer([]) == ""


def test_citing_needs_the_whole_id() -> None:
    assert cited_ids("As I said [m-1].", ["m-1", "m-12"]) == {"m-1"}
    assert cited_ids("As I said [m-12].", ["m-1", "m-12"]) == {"m-12"}
    assert cited_ids("见m-1。", ["m-1"]) == {"m-1"}


def test_ids_come_from_json_results_and_plain_text_has_none() -> None:
    rows = '[{"id":"m-1","text":"a"},{"id":"m-2"},{"x":1},3]'
    assert offered_ids(
        [Message("tool", rows, (), "c"), Message("tool", "no such tool", (), "d")]
    ) == {"m-1", "m-2"}
