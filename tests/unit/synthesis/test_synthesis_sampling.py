"""Arguments sampled from any JSON Schema fit that schema."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.synthesis.arguments.json_schema import date_ranges
from agent_assets.synthesis.arguments.sampler import CannotSample, Pool, sample_arguments
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


LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [
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
    ]
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


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "start_date", "x y"]), SCHEMAS, min_size=1),
    st.integers(0, 99),
)
def test_arguments_fit_the_schema(properties: JsonObject, seed: int) -> None:
    schema = tool(properties, **{"$defs": DEFS})
    arguments = sample_arguments(schema, {}, seeded(seed))
    Draft202012Validator(schema.parameters).validate(arguments)
    assert sample_arguments(schema, {}, seeded(seed)) == arguments


def test_optional_arguments_come_half_the_time() -> None:
    schema = tool({"a": {"type": "boolean"}}, required=[])
    given_in = sum("a" in sample_arguments(schema, {}, seeded(number)) for number in range(200))
    assert 70 < given_in < 130


@pytest.mark.parametrize(
    ("start", "end"),
    [("start_date", "end_date"), ("from_date", "to_date"), ("date_start", "date_end")],
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
    Draft202012Validator(schema.parameters).validate(sample_arguments(schema, {}, seeded(1)))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[A-Z]{3}[0-9]+$"},
        {"type": "string", "format": "ipv6"},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"$ref": "#/$defs/Loop"},
    ],
)
def test_what_cannot_be_made_is_said_so(schema: JsonObject) -> None:
    loop: Any = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/Loop"}},
        "required": ["next"],
    }
    with pytest.raises(CannotSample):
        sample_arguments(tool({"a": schema}, **definitions(Loop=loop)), {}, seeded(1))
