"""What a model thinks is told apart from what it says, whole and piece by piece."""

import pytest

from agent_assets.conversations.messages import Message
from agent_assets.conversations.reasoning import (
    SpokenText,
    split_reasoning,
    spoken,
    with_reasoning,
    without_reasoning,
)


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("It is Tuesday.", "", "It is Tuesday."),
        ("<think>hm {</think>\n\nIt is Tuesday.", "hm {", "It is Tuesday."),
        ("<think>\n\n</think>\n\nIt is Tuesday.", "", "It is Tuesday."),
        ("<thinking>a</thinking><THINK>b</THINK> c", "ab", "c"),
        (
            "the template opened it</think>It is Tuesday.",
            "the template opened it",
            "It is Tuesday.",
        ),
        ("a</think>b</think>c", "ab", "c"),
        ("<think>it was cut {", "it was cut {", ""),
        ("<think>a<think>b</think>c</think>d", "abc", "d"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<seed:think>a</seed:think>b", "a", "b"),
        ("Yes. <think>a</think> No.", "a", "Yes.  No."),
        ("1 < 2 and [m1] <thin>", "", "1 < 2 and [m1] <thin>"),
        ("", "", ""),
    ],
)
def test_reasoning_is_told_apart(text: str, thought: str, said: str) -> None:
    assert split_reasoning(text) == (thought, said)
    assert without_reasoning(text) == said
    assert split_reasoning(with_reasoning(thought, said)) == (thought, said)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>I see {a}</think>\n\nIt is < 3, [m1].", "It is < 3, [m1]."),
        ("Good day.  Yes\n\nNo <", "Good day.  Yes\n\nNo <"),
        ("Good day <think>never closed", "Good day "),
        ("<think>cut", ""),
    ],
)
def test_a_stream_tells_only_what_is_said(size: int, text: str, said: str) -> None:
    stream = SpokenText()
    pieces = [stream.add(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join([*pieces, stream.end()]) == said
    assert all("think" not in piece for piece in pieces)


def test_only_an_assistant_thinks() -> None:
    for role in ("user", "tool"):
        message = Message(role, "<think>a</think>b")
        assert spoken(message) is message
    assert spoken(Message("assistant", "<think>a</think>b")).content == "b"
