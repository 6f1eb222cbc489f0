"""Replies of servers that each have their own form of content, reasoning and calls."""

from typing import Any

import pytest
from openai.types.chat.chat_completion import Choice

from agent_assets.agent.chat_model import read_reply
from agent_assets.agent.loop import UNPARSED
from agent_assets.agent.tool_call_parser import read_text
from agent_assets.conversations.messages import Message, ToolCall

KEPT = "<think>\nA {brace}.\n</think>\n\nYes."


def choice(**message: Any) -> Choice:
    """As the SDK hands it on: nothing is validated."""
    return Choice.construct(
        index=0, finish_reason="stop", message={"role": "assistant", "content": None, **message}
    )


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>A {brace}.</think>Yes."},
        {"content": "Yes.", "reasoning_content": "A {brace}."},
        {"content": "Yes.", "reasoning": "A {brace}."},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "A {brace}."}]},
                {"type": "text", "text": "Yes."},
            ]
        },
        {
            "content": [
                {"type": "reasoning", "text": "A {brace}."},
                {"type": "output_text", "text": "Y"},
                {"type": "image_url", "image_url": {"url": "x"}},
                "es.",
            ]
        },
    ],
)
def test_every_form_of_reasoning_is_read(message: dict[str, Any]) -> None:
    assert read_reply(choice(**message)) == Message("assistant", "Yes.")
    assert read_reply(choice(**message), keep_reasoning=True) == Message("assistant", KEPT)


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ({"city": "Ulm"}, {"city": "Ulm"}),
        ('{"city": "Ulm"}', {"city": "Ulm"}),
        (None, {}),
        ("", {}),
        (["Ulm"], {UNPARSED: '["Ulm"]'}),
        ({"n": float("nan")}, {UNPARSED: '{"n": NaN}'}),
    ],
)
def test_arguments_are_read_as_text_and_as_an_object(arguments: Any, read: dict[str, Any]) -> None:
    calls = [{"function": {"name": "weather", "arguments": arguments}}]
    message = read_reply(choice(tool_calls=calls, reasoning_content="Hm."))
    assert message == Message("assistant", "", (ToolCall("weather", read, "call_1"),))
    old = read_reply(choice(function_call={"name": "weather", "arguments": arguments}))
    assert old.tool_calls == message.tool_calls


def test_plain_text_of_a_model_that_thinks_means_the_same() -> None:
    text = '<think>Look.</think>\n<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    assert read_text(text, turn=1) == Message("assistant", "", (ToolCall("a", {}, "call_1_1"),))
    assert read_text("<think>Look.</think>Yes.", turn=1) == Message("assistant", "Yes.")
