"""Which calls and rows are rejected, and with which reason."""

from dataclasses import replace
from typing import Any

import pytest

from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolCall,
    ToolSchema,
)
from agent_assets.conversations.validation import RejectReason, validate_call, validate_conversation

DAY = {"type": "string", "format": "date"}
LNG = ToolSchema(
    "get_lng_price",
    "",
    {
        "type": "object",
        "properties": {
            "region": {"type": "string", "enum": ["华北", "East"]},
            "start_date": DAY,
            "end_date": {"anyOf": [DAY, {"type": "null"}], "default": None},
            "days": {"type": "integer", "minimum": 1},
            "names": {"type": "array", "items": {"type": "string", "enum": ["a"]}, "minItems": 1},
            "unit": {"type": "string", "default": None},
            "code": {"type": "string", "pattern": "^x"},
        },
        "required": ["region", "start_date"],
    },
)
CLOCK = ToolSchema("get_current_date", "", {"type": "object", "properties": {}})
Q: JsonObject = {"properties": {"q": {}}}
RIGHT = {"region": "华北", "start_date": "2025-04-01"}


def reasons(arguments: dict[str, Any], name: str = "get_lng_price") -> list[str]:
    return [
        rejection.reason.value
        for rejection in validate_call(ToolCall(name, arguments, "1"), [LNG, CLOCK])
    ]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"end_date": None},
        {"end_date": "2025-04-02"},
        {"unit": None},
        {"days": 3},
        {"names": ["a"]},
        {"code": "xy"},
    ],
)
def test_right_calls_pass(more: dict[str, Any]) -> None:
    assert reasons(RIGHT | more) == []
    assert reasons({}, "get_current_date") == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"region": "华北"}, ["missing_required"]),
        ({}, ["missing_required"]),
        (RIGHT | {"region": "West"}, ["not_in_enum"]),
        (RIGHT | {"start_date": 20250401}, ["wrong_type"]),
        (RIGHT | {"start_date": None}, ["wrong_type"]),
        (RIGHT | {"start_date": "2025-02-30"}, ["bad_format"]),
        (RIGHT | {"start_date": "20250401"}, ["bad_format"]),
        (RIGHT | {"start_date": ""}, ["bad_format"]),
        (RIGHT | {"end_date": "tomorrow"}, ["bad_format"]),
        (RIGHT | {"end_date": 3}, ["wrong_type"]),
        (RIGHT | {"days": 0}, ["out_of_range"]),
        (RIGHT | {"days": "3"}, ["wrong_type"]),
        (RIGHT | {"days": True}, ["wrong_type"]),
        (RIGHT | {"names": []}, ["out_of_range"]),
        (RIGHT | {"names": ["b"]}, ["not_in_enum"]),
        (RIGHT | {"code": "y"}, ["bad_format"]),
        (RIGHT | {"password": "x"}, ["extra_argument"]),
        (RIGHT | {"password": None}, ["extra_argument"]),
    ],
)
def test_wrong_calls_have_a_reason(arguments: dict[str, Any], expected: list[str]) -> None:
    assert reasons(arguments) == expected


def test_unknown_tools_and_several_problems() -> None:
    assert reasons({}, "get_weather") == ["unknown_tool"]
    assert sorted(reasons({"region": "West", "password": 1})) == [
        "extra_argument",
        "missing_required",
        "not_in_enum",
    ]
    assert reasons({"x": 1}, "get_current_date") == ["extra_argument"]


def test_details_name_the_argument_and_quote_no_value() -> None:
    secret = "told in confidence"
    rejections = validate_call(
        ToolCall("get_lng_price", {"region": secret, "start_date": secret}, "1"), [LNG]
    )
    assert {item.detail.split(":")[0] for item in rejections} == {
        "get_lng_price.region",
        "get_lng_price.start_date",
    }
    assert not any(secret in item.detail for item in rejections)


CALL = ToolCall("get_lng_price", RIGHT, "call_1")
GOOD = Conversation(
    (
        Message("system", "s"),
        Message("user", "q"),
        Message("assistant", "", (CALL,)),
        Message("tool", "", tool_call_id="call_1"),
        Message("assistant", "It is 4981.1."),
    ),
    (LNG, CLOCK),
)


def test_a_good_row_passes() -> None:
    assert validate_conversation(GOOD, max_chars=1000) == []


def rows() -> list[tuple[str, Conversation, RejectReason]]:
    system, user, call, result, answer = GOOD.messages
    clock = ToolCall("get_current_date", {}, "call_2")

    def row(*messages: Message) -> Conversation:
        return replace(GOOD, messages=messages)

    return [
        ("no messages", row(), RejectReason.EMPTY),
        (
            "empty question",
            row(system, replace(user, content=" "), call, result, answer),
            RejectReason.EMPTY,
        ),
        (
            "empty answer",
            row(system, user, call, result, replace(answer, content="")),
            RejectReason.EMPTY,
        ),
        ("no result", row(user, call, answer), RejectReason.UNPAIRED_CALL),
        (
            "half the results",
            row(user, replace(call, tool_calls=(CALL, clock)), result, answer),
            RejectReason.UNPAIRED_CALL,
        ),
        ("no call", row(user, result, answer), RejectReason.UNPAIRED_RESULT),
        (
            "result of another",
            row(user, call, replace(result, tool_call_id="x"), answer),
            RejectReason.UNPAIRED_RESULT,
        ),
        ("result twice", row(user, call, result, result, answer), RejectReason.UNPAIRED_RESULT),
        ("same id twice", row(user, call, result, call, result, answer), RejectReason.DUPLICATE),
        ("ends with a result", row(user, call, result), RejectReason.NO_ANSWER),
        ("ends with a call", row(user, call), RejectReason.NO_ANSWER),
        ("late system", row(user, system, answer), RejectReason.WRONG_ORDER),
        ("answers itself", row(user, answer, answer), RejectReason.WRONG_ORDER),
        ("speaks first", row(system, answer), RejectReason.WRONG_ORDER),
        ("wrong tool", replace(GOOD, tools=(CLOCK,)), RejectReason.UNKNOWN_TOOL),
    ]


@pytest.mark.parametrize(("what", "row", "reason"), rows(), ids=[what for what, _, _ in rows()])
def test_a_bad_row_has_its_reason(what: str, row: Conversation, reason: RejectReason) -> None:
    assert reason in [rejection.reason for rejection in validate_conversation(row, max_chars=1000)]


def test_length_counts_text_and_calls() -> None:
    (rejection,) = validate_conversation(GOOD, max_chars=20)
    assert rejection.reason is RejectReason.TOO_LONG
    assert "20 allowed" in rejection.detail


@pytest.mark.parametrize(
    ("schema", "arguments", "reasons"),
    [
        # Draft 4: a flag, and a number that is no more than its bound.
        (
            {"properties": {"n": {"minimum": 0, "exclusiveMinimum": True}}},
            {"n": 0},
            [RejectReason.OUT_OF_RANGE],
        ),
        ({"properties": {"p": {"items": [{"type": "integer"}]}}}, {"p": ["x"]}, ["wrong_type"]),
        ({"properties": {"a": {"pattern": r"^\p{L}+$"}}}, {"a": "Grüße"}, []),
        ({"properties": {"a": {"pattern": r"^\p{L}+$"}}}, {"a": "1"}, ["bad_format"]),
        # Names that branches and references give are none too many; others are.
        ({"required": ["a"]}, {"a": 1}, []),
        ({"required": ["a"]}, {}, ["missing_required"]),
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"properties": {"q": {}}}}},
            {"q": 1},
            [],
        ),
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"properties": {"q": {}}}}},
            {"r": 1},
            ["extra_argument"],
        ),
        ({"patternProperties": {r"^\p{Lu}": {"type": "integer"}}}, {"É": 1}, []),
        ({"patternProperties": {r"^\p{Lu}": {"type": "integer"}}}, {"é": 1}, ["extra_argument"]),
        ({"properties": {"a": False}}, {"a": 1}, ["extra_argument"]),
        ({"properties": {"a": {"type": "string", "required": True}}}, {}, ["missing_required"]),
        # Nothing is fetched, whatever a reference names.
        (
            {"properties": {"a": {"$ref": "#/$defs/I"}}, "$defs": {"I": {"$id": "x", "not": {}}}},
            {"a": 1},
            ["out_of_range"],
        ),
    ],
)
def test_schemas_of_every_draft(
    schema: JsonObject, arguments: JsonObject, reasons: list[str]
) -> None:
    tool = ToolSchema("t", "", {"type": "object", **schema})
    rejections = validate_call(ToolCall("t", arguments, "1"), [tool])
    assert [rejection.reason for rejection in rejections] == reasons
