"""What a model wrote, read as vLLM's Hermes parser reads it."""

import pytest

from agent_assets.agent.loop import UNPARSED
from agent_assets.agent.tool_call_parser import read_text

NUMBER = '{"n": 1}'


def call(name: str, arguments: str = "{}") -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def test_text_before_several_calls_stays_text_and_ids_differ_between_turns() -> None:
    message = read_text(f"I look.\n{call('left')}\n{call('right', NUMBER)}", turn=2)
    assert message.content == "I look."
    assert [
        (tool_call.name, tool_call.arguments, tool_call.id) for tool_call in message.tool_calls
    ] == [
        ("left", {}, "call_2_1"),
        ("right", {"n": 1}, "call_2_2"),
    ]


def test_the_last_call_may_lack_its_end() -> None:
    assert [
        tool_call.name
        for tool_call in read_text(call("left").removesuffix("\n</tool_call>"), turn=1).tool_calls
    ] == ["left"]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\nleft()\n</tool_call>",
        '<tool_call>{"name": "left"}</tool_call>',
        "<tool_call>[1]</tool_call>",
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        f"{call('left')}<tool_call>",
    ],
)
def test_one_call_that_cannot_be_read_makes_all_of_it_an_answer(text: str) -> None:
    message = read_text(text, turn=1)
    assert not message.tool_calls and message.content == text


def test_arguments_that_are_no_object_reach_the_loop_as_what_they_are() -> None:
    (parsed,) = read_text(call("left", '"{}"'), turn=1).tool_calls
    assert parsed.arguments == {UNPARSED: '"{}"'}
