"""Rows in the three formats: nothing gets lost, order stays, and what cannot be said is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_assets.conversations.formats import (
    canonical,
    from_openai,
    from_sharegpt,
    from_swift,
    to_openai,
    to_sharegpt,
    to_swift,
)
from agent_assets.conversations.messages import (
    Conversation,
    Message,
    ToolCall,
    ToolSchema,
    canonical_json,
)
from agent_assets.errors import TrainingDataError

settings.register_profile("untimed", deadline=None)  # a busy machine is not a defect
settings.load_profile("untimed")

BOTH_WAYS = pytest.mark.parametrize(
    ("to_row", "from_row"),
    [(to_swift, from_swift), (to_sharegpt, from_sharegpt), (to_openai, from_openai)],
)
PRICE = ToolSchema(
    "get_lng_price",
    "LNG 价格",
    {
        "type": "object",
        "properties": {"end_date": {"type": "string", "default": None}},
        "required": [],
    },
)
CONVERSATION = Conversation(
    (
        Message("system", "你是一个天然气专家"),
        Message("user", "今天成都的价格？"),
        Message("assistant", "", (ToolCall("get_current_date", {}, "a"),)),
        Message("tool", "2025-04-22", tool_call_id="a"),
        Message(
            "assistant",
            "Two more look-ups.",
            (
                ToolCall("get_lng_price", {"region": "North China", "end_date": None}, "b"),
                ToolCall(
                    "nested", {"filter": {"factories": ["Dazhou", {"名": ["a", 1.5, True]}]}}, "c"
                ),
            ),
        ),
        Message("tool", '[{"date":"2025-04-22","price":4981.1}]', tool_call_id="b"),
        Message("tool", "", tool_call_id="c"),
        Message("assistant", "价格是 4981.1。"),
        Message("user", ""),
        Message("assistant", ""),
    ),
    (PRICE, ToolSchema("get_current_date", "", {"type": "object", "properties": {}})),
)


@BOTH_WAYS
def test_a_row_read_back_is_the_same_conversation(to_row: Any, from_row: Any) -> None:
    row = json.loads(canonical_json(to_row(CONVERSATION)))
    assert from_row(row) == canonical(CONVERSATION)
    assert to_row(from_row(row)) == row


def test_swift_row_is_what_ms_swift_reads() -> None:
    row = to_swift(CONVERSATION)
    roles = [message["role"] for message in row["messages"]]
    assert roles[:9] == [
        "system",
        "user",
        "tool_call",
        "tool_response",
        "assistant",
        "tool_call",
        "tool_call",
        "tool_response",
        "tool_response",
    ]
    assert row["messages"][2]["content"] == '{"name": "get_current_date", "arguments": {}}'
    tools = json.loads(row["tools"])
    assert tools[0]["type"] == "function"
    assert tools[0]["function"]["parameters"]["properties"]["end_date"] == {
        "type": "string",
        "default": None,
    }


def test_sharegpt_row_has_the_shape_of_its_readers() -> None:
    row = to_sharegpt(CONVERSATION)
    assert row["system"] == "你是一个天然气专家"
    assert row["conversations"][0] == {"from": "human", "value": "今天成都的价格？"}
    speakers = [entry["from"] for entry in row["conversations"]]
    assert speakers[1:] == ["function_call", "observation"] * 2 + ["gpt", "human", "gpt"]
    before, calls = (
        row["conversations"][3]["value"].removesuffix("\n</tool_call>").split("\n<tool_call>\n")
    )
    assert before == "Two more look-ups." and [call["name"] for call in json.loads(calls)] == [
        "get_lng_price",
        "nested",
    ]
    assert isinstance(row["tools"], str) and json.loads(row["tools"])[0] == {
        "name": PRICE.name,
        "description": PRICE.description,
        "parameters": PRICE.parameters,
    }


def test_openai_row_pairs_results_by_id() -> None:
    messages = to_openai(CONVERSATION)["messages"]
    assert messages[2]["content"] is None
    assert messages[4]["content"] == "Two more look-ups."
    assert [message.get("tool_call_id") for message in messages[3:7]] == [
        "call_1",
        None,
        "call_2",
        "call_3",
    ]
    assert json.loads(messages[4]["tool_calls"][0]["function"]["arguments"]) == {
        "region": "North China",
        "end_date": None,
    }


def test_results_that_came_in_another_order_go_back_to_their_calls() -> None:
    calls = (ToolCall("f", {"n": 1}, "x"), ToolCall("f", {"n": 2}, "y"))
    messages = (
        Message("user", "q"),
        Message("assistant", "", calls),
        Message("tool", "two", tool_call_id="y"),
        Message("tool", "one", tool_call_id="x"),
    )
    contents = [message["content"] for message in to_swift(Conversation(messages))["messages"][3:]]
    assert contents == ["one", "two"]


def test_rows_of_other_writers_are_read() -> None:
    """Parallel calls as one list, arguments as text, system as a message, OpenAI content parts,
    tools as JSON text.
    """
    calls = json.dumps([{"name": "f", "arguments": '{"n": 1}'}, {"name": "g", "arguments": {}}])
    rows = [
        ("system", "s"),
        ("human", "q"),
        ("function_call", calls),
        ("observation", "1"),
        ("observation", "2"),
    ]
    read = from_sharegpt(
        {
            "conversations": [{"from": role, "value": value} for role, value in rows],
            "tools": json.dumps([{"name": "f"}]),
        }
    )
    assert read.messages[0] == Message("system", "s")
    assert read.messages[2].tool_calls == (
        ToolCall("f", {"n": 1}, "call_1"),
        ToolCall("g", {}, "call_2"),
    )
    assert read.messages[4].tool_call_id == "call_2"
    assert read.tools == (ToolSchema("f", "", {}),)
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert (
        from_openai({"messages": [{"role": "user", "content": parts}]}).messages[0].content == "ab"
    )


SECRET = "told in confidence"
CALL = ToolCall("f", {"x": SECRET}, "1")


@pytest.mark.parametrize(
    "messages",
    [
        (Message("user", SECRET), Message("tool", SECRET, tool_call_id="1")),
        (Message("assistant", SECRET), Message("assistant", "", (CALL,))),
        (Message("assistant", "", (CALL, CALL))),
        (
            Message("assistant", "", (CALL, ToolCall("g", {}, "2"))),
            Message("tool", SECRET, tool_call_id="2"),
        ),
        (Message("user", SECRET), Message("system", SECRET)),
        (Message("assistant", "", (ToolCall("f", {SECRET: float("nan")}, "1"),)),),
    ],
    ids=[
        "result without call",
        "calls run together",
        "one id twice",
        "half answered",
        "late system",
        "nan",
    ],
)
def test_what_a_row_cannot_say_is_an_error_that_quotes_nothing(messages: Any) -> None:
    messages = messages if isinstance(messages, tuple) else (messages,)
    with pytest.raises(TrainingDataError) as raised:
        to_swift(Conversation(messages))
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("from_row", "row"),
    [
        (from_swift, {}),
        (from_swift, {"messages": [SECRET]}),
        (from_swift, {"messages": [{"role": "robot", "content": SECRET}]}),
        (from_swift, {"messages": [{"role": ["user"], "content": SECRET}]}),
        (from_swift, {"messages": [{"role": "user", "content": None}]}),
        (from_swift, {"messages": [{"role": "tool_call", "content": "{" + SECRET}]}),
        (
            from_swift,
            {"messages": [{"role": "tool_call", "content": json.dumps({"arguments": {}})}]},
        ),
        (
            from_swift,
            {"messages": [{"role": "tool_call", "content": '{"name": "f", "arguments": [1]}'}]},
        ),
        (from_swift, {"messages": [{"role": "tool_response", "content": SECRET}]}),
        (from_swift, {"messages": [{"role": "user", "content": ""}], "tools": "{" + SECRET}),
        (from_sharegpt, {"conversations": [{"from": "human"}]}),
        (from_openai, {"messages": [{"role": "assistant", "content": None}]}),
        (
            from_openai,
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": SECRET}}]}]},
        ),
        (from_openai, {"messages": [{"role": "tool", "content": SECRET, "tool_call_id": "1"}]}),
        (
            from_openai,
            {"messages": [{"role": "user", "content": ""}], "tools": [{"type": "function"}]},
        ),
    ],
)
def test_a_broken_row_is_an_error_that_quotes_nothing(from_row: Any, row: Any) -> None:
    with pytest.raises(TrainingDataError) as raised:
        from_row(row)
    assert SECRET not in str(raised.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON, max_size=3)
TEXT = st.text(max_size=20) | st.sampled_from(
    ["", "中文，标点。", "<tool_call>\n{}\n</tool_call>", '{"name": "f"}']
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", draw(TEXT)))
    count = 0
    for _ in range(draw(st.integers(0, 3))):
        messages.append(Message("user", draw(TEXT)))
        for _ in range(draw(st.integers(0, 2))):
            calls = []
            for arguments in draw(st.lists(OBJECTS, min_size=1, max_size=3)):
                count += 1
                calls.append(
                    ToolCall(draw(st.text(min_size=1, max_size=6)), arguments, f"id-{count}")
                )
            messages.append(Message("assistant", draw(TEXT), tuple(calls)))
            messages += [
                Message("tool", draw(TEXT), tool_call_id=call.id)
                for call in draw(st.permutations(calls))
            ]
        messages.append(Message("assistant", draw(TEXT)))
    tools = draw(
        st.lists(
            st.builds(ToolSchema, st.text(max_size=6), st.text(max_size=6), OBJECTS), max_size=2
        )
    )
    return Conversation(tuple(messages), tuple(tools))


@BOTH_WAYS
@given(conversation=conversations())
def test_any_conversation_round_trips(
    to_row: Any, from_row: Any, conversation: Conversation
) -> None:
    row = json.loads(canonical_json(to_row(conversation)))
    assert from_row(row) == canonical(conversation)


@given(conversation=conversations())
def test_formats_convert_into_one_another(conversation: Conversation) -> None:
    through = from_sharegpt(to_sharegpt(from_openai(to_openai(from_swift(to_swift(conversation))))))
    assert through == canonical(conversation)


@BOTH_WAYS
@given(conversation=conversations())
def test_arguments_keep_their_order_and_the_types_of_their_numbers(
    to_row: Any, from_row: Any, conversation: Conversation
) -> None:
    """Other tools sort arguments, write 1.0 as 1, or round large numbers: equal dicts hide the
    first two.
    """

    def written(row: Conversation) -> list[str]:
        return [
            json.dumps(call.arguments) for message in row.messages for call in message.tool_calls
        ]

    row = json.loads(canonical_json(to_row(conversation)))
    assert written(from_row(row)) == written(conversation)


@pytest.mark.parametrize("number", ["1", "1.0", "-0.0", "1e+22", "12345678901234567890", "0.1"])
@BOTH_WAYS
def test_numbers_that_other_tools_change(to_row: Any, from_row: Any, number: str) -> None:
    arguments = {"z": json.loads(number), "a": None, "nested": {"b": [], "a": {}}}
    call = ToolCall("f", arguments, "x")
    conversation = Conversation(
        (Message("user", "q"), Message("assistant", " ", (call,)), Message("tool", "", (), "x"))
    )
    read = from_row(json.loads(canonical_json(to_row(conversation))))
    assert json.dumps(read.messages[1].tool_calls[0].arguments) == json.dumps(arguments)
    assert [message.content for message in read.messages] == ["q", " ", ""]
