"""Arguments sampled from any JSON Schema fit that schema."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_assets.conversations.messages import JsonObject, ToolCall, ToolSchema
from agent_assets.conversations.tools import check_schema, normalise_schema
from agent_assets.conversations.validation import validate_call
from agent_assets.synthesis.arguments.json_schema import date_ranges
from agent_assets.synthesis.arguments.pool import CannotSample, Pool
from agent_assets.synthesis.arguments.sampler import sample_arguments
from agent_assets.text.seeds import seeded

DAY = {"type": "string", "format": "date"}


def tool(properties: JsonObject, *, required: list[str] | None = None, **rest: Any) -> ToolSchema:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return ToolSchema("t", "A tool.", {**schema, **rest})


def definitions(**schemas: Any) -> dict[str, Any]:
    return {"$defs": schemas}


LEAVES_ALONE: list[Any] = [
    {"type": "string"},
    {"type": "string", "minLength": 40},
    {"type": "string", "maxLength": 3},
    DAY,
    {"type": "string", "format": "date-time"},
    {"type": "string", "enum": ["a", "b"]},
    {"type": "string", "pattern": "^[0-9]{4}$", "examples": ["1234"]},
    {"type": "integer", "minimum": 3, "maximum": 9},
    {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 7},
    {"type": "number", "minimum": -1.5, "exclusiveMaximum": 0},
    {"type": "integer", "maximum": -5},
    {"type": "boolean"},
    {"const": 4},
    {"type": ["null", "integer"]},
    {"anyOf": [{"type": "null"}, {"type": "string"}], "default": None},
    {"$ref": "#/$defs/Place"},
    {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1},
    {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 0.3},
    {"type": "number", "multipleOf": 0.1},
    {"type": "integer", "multipleOf": 2.5, "default": 3},
    {"type": "string", "pattern": r"^[\p{L} ]+$"},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$", "maxLength": 9},
    {"type": "string", "pattern": r"^(?=.*\d)\S{6,}$"},
    *({"type": "string", "format": form} for form in ("ipv6", "uuid", "duration", "hostname")),
    {"type": "array", "prefixItems": [{"type": "integer"}, DAY], "items": False},
    {"type": "array", "uniqueItems": True, "minItems": 3, "items": {"enum": [1, 2, 3, 4]}},
    {"type": "array", "items": {"type": "boolean"}, "contains": {"const": True}},
    {"type": "array", "maxItems": 0},
    {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
    {"type": "object", "patternProperties": {r"^x-\w+$": {}}, "minProperties": 1},
    {"type": "object", "minProperties": 1, "propertyNames": {"pattern": "^[a-z]{3}$"}},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 9}, {"not": {"const": 3}}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"type": ["integer", "string"]},
    {},
    True,
]
# Drafts do not mix: a number cannot be what a flag is in another one.
LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [leaf for leaf in LEAVES_ALONE if leaf is True or leaf.get("exclusiveMinimum") is not True]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda item: {"type": "array", "items": item, "minItems": 1, "maxItems": 4}),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda parts: {
                "type": "object",
                "properties": parts,
                "required": sorted(parts),
                "additionalProperties": False,
            }
        ),
        inner.map(lambda item: {"oneOf": [item, {"type": "null"}]}),
    ),
    max_leaves=4,
)
DEFS: Any = {
    "Place": {
        "type": "object",
        "properties": {"city": {"enum": ["Bonn", "Köln"]}},
        "required": ["city"],
    }
}


# What judges the whole of the arguments.
ROOTS: st.SearchStrategy[Any] = st.sampled_from(
    [
        {},
        {"minProperties": 1},
        {"anyOf": [{"required": ["a"]}, {"required": ["x y"]}]},
        {"allOf": [{"$ref": "#/$defs/Place"}]},
        {"if": {"required": ["a"]}, "then": {"required": ["start_date"]}},
        {"dependentRequired": {"a": ["x y"]}},
        {"not": {"required": ["a", "x y"]}},
        {"required": ["b"], "additionalProperties": {"type": "integer"}},
    ]
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "start_date", "x y"]), SCHEMAS, min_size=1),
    st.lists(st.sampled_from(["a", "start_date", "x y"]), unique=True),
    ROOTS,
    st.integers(0, 99),
)
def test_arguments_fit_the_schema_or_are_said_not_to(
    properties: JsonObject, required: list[str], root: JsonObject, seed: int
) -> None:
    odd = tool(properties, **{"required": required, "$defs": DEFS, **root})
    schema = replace(odd, parameters=normalise_schema(odd.parameters))  # as of a server
    assert check_schema(schema) == []
    try:
        arguments = sample_arguments(schema, {}, seeded(seed))
    except CannotSample as error:  # rules that contradict each other, or nearly
        assert str(error)
        return
    assert not validate_call(ToolCall("t", arguments, "1"), [schema])
    assert sample_arguments(schema, {}, seeded(seed)) == arguments


@pytest.mark.parametrize("schema", LEAVES_ALONE)
def test_every_kind_of_schema_has_a_value(schema: Any) -> None:
    for seed in range(20):
        arguments = sample_arguments(tool({"a": schema}, **{"$defs": DEFS}), {}, seeded(seed))
        assert "a" in arguments


def test_optional_arguments_come_half_the_time() -> None:
    schema = tool({"a": {"type": "boolean"}}, required=[])
    given_in = sum("a" in sample_arguments(schema, {}, seeded(number)) for number in range(200))
    assert 70 < given_in < 130


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("start_date", "end_date"),
        ("from_date", "to_date"),
        ("date_start", "date_end"),
        ("startDate", "endDate"),
        ("start-date", "end-date"),
    ],
)
def test_a_range_of_dates_never_runs_backwards(start: str, end: str) -> None:
    schema = tool({end: {"anyOf": [DAY, {"type": "null"}]}, start: DAY})
    assert date_ranges(schema) == {start: end}
    pool = {start: Pool(first=date(2024, 2, 1), last=date(2024, 3, 1), days=(1, 4))}
    for number in range(100):
        arguments = sample_arguments(schema, pool, seeded(number))
        length = (date.fromisoformat(arguments[end]) - date.fromisoformat(arguments[start])).days
        assert 0 <= length <= 3
        assert "2024-02-01" <= arguments[start] <= arguments[end] <= "2024-03-01"
    one_day = sample_arguments(schema, pool, seeded(1), one_day=True)
    assert one_day[start] == one_day[end]


def test_values_given_for_a_parameter_are_used() -> None:
    schema = tool(
        {"city": {"type": "string"}, "cities": {"type": "array", "items": {"type": "string"}}}
    )
    pools = {"city": Pool(values=("Bonn",)), "cities": Pool(values=("Bonn", "Ulm"))}
    arguments = sample_arguments(schema, pools, seeded(3))
    assert arguments["city"] == "Bonn"
    assert set(arguments["cities"]) <= {"Bonn", "Ulm"}
    assert len(set(arguments["cities"])) == len(arguments["cities"])


def test_a_recursive_schema_ends() -> None:
    node: Any = {
        "type": "object",
        "properties": {"child": {"$ref": "#/$defs/N"}, "v": {"type": "integer"}},
        "required": ["v"],
    }
    schema = tool({"root": {"$ref": "#/$defs/N"}}, **definitions(N=node))
    arguments = sample_arguments(schema, {}, seeded(1))
    assert not validate_call(ToolCall("t", arguments, "1"), [schema])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a(?<!a)$"},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"$ref": "#/$defs/Loop"},
        False,
    ],
)
def test_what_cannot_be_made_is_said_so(schema: Any) -> None:
    loop: Any = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/Loop"}},
        "required": ["next"],
    }
    with pytest.raises(CannotSample):
        sample_arguments(tool({"a": schema}, **definitions(Loop=loop)), {}, seeded(1))


def one(schema: JsonObject, seed: int, name: str = "a") -> Any:
    return sample_arguments(tool({name: schema}), {}, seeded(seed))[name]


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": -(2**53) + 1, "maximum": 2**53 - 1},  # what z.int() writes
        {"minimum": 0, "maximum": 2**31 - 1},
        {"minimum": 1, "maximum": 1_000_000},
        {"exclusiveMinimum": 0},
        {},
    ],
)
def test_numbers_are_those_that_a_person_asks_for(bounds: JsonObject) -> None:
    numbers = {one({"type": "integer", **bounds}, seed) for seed in range(50)}
    assert numbers <= set(range(102))
    assert len(numbers) > 10


@pytest.mark.parametrize(
    ("description", "pattern"),
    [
        ("Day as YYYY-MM-DD", r"2025-\d\d-\d\d"),
        ("the day (DD/MM/YYYY)", r"\d\d/\d\d/2025"),
        ("Month, yyyy-mm.", r"2025-\d\d"),
        ("When: YYYY-MM-DD HH:MM", r"2025-\d\d-\d\d \d\d:\d\d"),
        ("YYYY-MM-DDTHH:MM:SSZ", r"2025-\d\d-\d\dT\d\d:\d\d:00Z"),
        ("An ISO 8601 timestamp", r"2025-\d\d-\d\dT\d\d:\d\d:00Z"),
        ("ISO 8601 date", r"2025-\d\d-\d\d"),
        ("Starts at HH:MM", r"\d\d:\d\d"),
    ],
)
def test_days_are_written_as_the_description_asks(description: str, pattern: str) -> None:
    for seed in range(5):
        assert re.fullmatch(pattern, one({"type": "string", "description": description}, seed))


def test_ranges_of_days_in_another_form() -> None:
    day = {"type": "string", "description": "DD.MM.YYYY"}
    schema = tool({"from_day": day, "to_day": day})
    assert date_ranges(schema) == {"from_day": "to_day"}
    for seed in range(20):
        arguments = sample_arguments(schema, {}, seeded(seed))
        start, end = (
            date(*map(int, reversed(arguments[name].split(".")))) for name in ("from_day", "to_day")
        )
        assert 0 <= (end - start).days <= 3


def test_texts_of_patterns_are_short_and_the_same_in_every_process() -> None:
    for pattern in (r"^\S+$", "^.*$", "^[^/]+$", r"^[\w.-]+$"):
        text = one({"type": "string", "pattern": pattern}, 3)
        assert len(text) <= 9
        assert text.isalpha() or not text
    program = (
        "from random import Random\n"
        "from agent_assets.synthesis.arguments.patterns import text_of_pattern\n"
        "print(text_of_pattern(r'^[^a]{9}[^\\w]{9}$', Random(3)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(texts) == 1


def test_examples_that_the_schema_forbids_are_not_used() -> None:
    schema = {"type": "integer", "minimum": 1, "maximum": 3, "default": 0, "examples": [7, 2]}
    assert {one(schema, seed) for seed in range(10)} == {2}


def test_an_optional_argument_without_a_value_is_left_out() -> None:
    schema = tool({"a": {"type": "integer"}, "b": {"not": {}}}, required=["a"])
    for seed in range(10):
        assert set(sample_arguments(schema, {}, seeded(seed))) == {"a"}


def test_given_values_that_do_not_fit_are_named() -> None:
    with pytest.raises(CannotSample, match="a: type"):
        sample_arguments(tool({"a": {"type": "integer"}}), {"a": Pool(values=("x",))}, seeded(1))
