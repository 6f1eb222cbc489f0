"""Tool schemas: broken ones are named, snapshots compare with diff, model servers get closed
schemas.
"""

import json
from collections.abc import Mapping
from difflib import unified_diff

import pytest

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.strict_tools import strict_openai_tools
from agent_assets.conversations.tools import (
    check_schema,
    in_parameter_order,
    normalise_schema,
    read_snapshot,
    referenced,
    schema_snapshot,
)
from agent_assets.errors import ToolServerError


def tool(parameters: Mapping[str, object], name: str = "f") -> ToolSchema:
    return ToolSchema(name, "says 中文", dict(parameters))


def nested(levels: int) -> JsonObject:
    schema: JsonObject = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (tool({"type": "array"}), "'array', not 'object'"),
        (tool({}), "None, not 'object'"),
        (tool({"type": "object", "properties": {"a": {"type": "nummer"}}}), "properties/a/type"),
        (
            tool({"type": "object", "properties": {"a": {"$ref": "#/$defs/Day"}}}),
            "$ref '#/$defs/Day' has no target",
        ),
        (
            tool({"type": "object", "properties": {"a": {"$ref": "https://x.org/day.json"}}}),
            "has no target",
        ),
        (tool({"type": "object", "properties": {"a": {"pattern": "("}}}), "is not a 'regex'"),
        (
            tool({"type": "object", "properties": {"a": {"minLength": 2.5}}}),
            "not of type 'integer'",
        ),
        (
            tool({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}),
            "a $ref leads back to itself",
        ),
        (
            tool({"type": "object", "properties": {"a": {"$ref": "#/description"}}}),
            "has no target",
        ),
        (
            tool({"type": "object", "description": "x", "not": {"$ref": "#/description"}}),
            "points at something that is no schema",
        ),
        (
            tool({"type": "object", "properties": {"a": {"maximum": float("inf")}}}),
            "a number or a character that JSON has not",
        ),
        (tool({"type": "object", "$id": 5}), "not a JSON Schema at $id"),
        (
            tool(
                {
                    "type": "object",
                    "properties": {"a": {"$ref": 5, "minimum": 1, "exclusiveMinimum": True}},
                }
            ),
            "$ref 5 is no text",
        ),
        (tool({"type": "object", "properties": []}), "not a JSON Schema at properties"),
        (tool({"type": "object", "$schema": 7, "required": "a"}), "not a JSON Schema at"),
        (tool({"type": "object", "description": "half \ud800"}), "that JSON has not"),
        (tool({"type": "object", "not": nested(200)}), "deeper than 64 levels"),
        (tool({"type": "object"}, name="read file"), "the name is not"),
        (tool({"type": "object"}, name=""), "the name is not"),
    ],
)
def test_what_is_broken_is_said(broken: ToolSchema, says: str) -> None:
    assert says in "; ".join(check_schema(broken))


def test_sound_schemas_have_no_problems() -> None:
    assert check_schema(tool({"type": "object", "properties": {}})) == []
    day = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a~1b"}},
        "$defs": {"a/b": {"type": "string"}},
    }
    assert check_schema(tool(day)) == []
    # A default that looks like a reference is data.
    assert (
        check_schema(tool({"type": "object", "properties": {"a": {"default": {"$ref": "#/none"}}}}))
        == []
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": {"minimum": 0, "exclusiveMinimum": True}}},  # draft 4
        {"properties": {"n": {"type": "string", "required": True}}},  # draft 3
        {"properties": {"p": {"type": "array", "items": [{"type": "number"}, {}]}}},
        {"properties": {"p": {"prefixItems": [{"type": "number"}], "items": False}}},
        {
            "properties": {
                "shape": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "other": {"$ref": "#/properties/shape/anyOf/0"},
            }
        },
        {"properties": {"a": {"$ref": "#a"}}, "$defs": {"A": {"$anchor": "a"}}},
        {"properties": {"a": {"$ref": "#/$defs/My Type"}}, "$defs": {"My Type": {}}},
        {
            "properties": {"a": {"$ref": "item.json"}},
            "$defs": {
                "I": {
                    "$id": "item.json",
                    "items": {"$ref": "#/$defs/Z"},
                    "$defs": {"Z": {"type": "integer"}},
                }
            },
        },
        {"properties": {"a": {"pattern": r"^[\p{L} ]+$"}}},
        {"properties": {"a": {"pattern": "(?i)^yes$"}}},  # of Python
        {"required": ["anything"]},
        {"properties": {"data": True, "list": {"items": True}}},
        {"properties": {"n": {"minLength": 2.0}}},
        {"properties": {"tree": {"$ref": "#/$defs/T"}}, "$defs": {"T": {"items": {"$ref": "#"}}}},
    ],
)
def test_every_draft_is_taken(schema: JsonObject) -> None:
    assert check_schema(tool({"type": "object", **schema})) == []


def test_a_draft_stays_where_it_changes_the_meaning() -> None:
    seven = "http://json-schema.org/draft-07/schema#"
    plain = {"$schema": seven, "type": "object", "properties": {"a": {"type": "string"}}}
    assert "$schema" not in normalise_schema(plain)
    beside = {**plain, "properties": {"a": {"$ref": "#/properties/b", "minimum": 3}, "b": {}}}
    assert normalise_schema(beside)["$schema"] == seven


def test_what_every_reader_stumbles_over_is_written_plainly() -> None:
    schema = {
        "type": "object",
        "properties": {"a": True, "b": {"default": float("inf")}, "c": {"items": False}},
        "additionalProperties": False,
    }
    assert normalise_schema(schema) == {
        "type": "object",
        "properties": {"a": {}, "b": {}, "c": {"items": {"not": {}}}},
        "additionalProperties": False,
    }


def test_titles_go_and_null_defaults_stay() -> None:
    schema = {
        "type": "object",
        "title": "fArguments",
        "properties": {
            "title": {"type": "string", "title": "Title", "default": None},
            "kind": {
                "anyOf": [{"title": "A", "type": "string"}, {"type": "null"}],
                "enum": [{"title": "kept"}],
            },
        },
    }
    assert normalise_schema(schema) == {
        "type": "object",
        "properties": {
            "title": {"type": "string", "default": None},
            "kind": {"anyOf": [{"type": "string"}, {"type": "null"}], "enum": [{"title": "kept"}]},
        },
    }


def test_snapshot_does_not_depend_on_order_and_reads_back() -> None:
    first = tool({"type": "object", "properties": {"b": {"default": None}, "a": {}}}, name="one")
    other = tool({"properties": {}, "type": "object"}, name="other")
    text = schema_snapshot([other, first])
    assert text == schema_snapshot([first, other])
    assert text.endswith("]\n")
    assert "中文" in text
    assert [entry["name"] for entry in json.loads(text)] == ["one", "other"]
    assert read_snapshot(text) == [first, other]
    changed = schema_snapshot(
        [other, tool({"type": "object", "properties": {"b": {}, "a": {}}}, name="one")]
    )
    assert (
        sum(line[0] in "+-" for line in unified_diff(text.splitlines(), changed.splitlines(), n=0))
        <= 8
    )


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"name": "f"}]'])
def test_a_broken_snapshot_is_an_error(text: str) -> None:
    with pytest.raises(ToolServerError):
        read_snapshot(text)


def test_strict_only_where_every_argument_is_required() -> None:
    closed = tool({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
    optional = tool({"type": "object", "properties": {"a": {"default": None}}}, name="g")
    first, second = (entry["function"] for entry in strict_openai_tools([closed, optional]))
    assert first["strict"] is True
    assert first["parameters"]["additionalProperties"] is False
    assert "strict" not in second
    assert second["parameters"]["properties"]["a"] == {"default": None}
    assert "additionalProperties" not in closed.parameters


@pytest.mark.parametrize(
    ("argument", "strict"),
    [
        ({"type": "string", "format": "date", "description": "A day."}, True),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, True),
        ({"type": "array", "items": {"$ref": "#/$defs/default"}, "minItems": 1}, True),
        ({"type": "string", "format": "uri"}, False),
        ({"type": "string", "default": "x"}, False),
        ({"type": "string", "minLength": 1}, False),
        ({"type": "array", "items": {"type": "string", "format": "uri"}}, False),
        ({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]}, False),
    ],
)
def test_strict_only_where_a_server_takes_every_keyword(argument: JsonObject, strict: bool) -> None:
    # An argument and a definition may be named like a keyword that is refused.
    schema = {
        "type": "object",
        "properties": {"default": argument},
        "required": ["default"],
        "$defs": {"default": {"type": "string", "enum": ["a", "b"]}},
    }
    (entry,) = strict_openai_tools([tool(schema)])
    assert entry["function"].get("strict", False) is strict


def test_arguments_stand_in_the_order_models_decide_in() -> None:
    place = {
        "type": "object",
        "properties": {"lat": {}, "alt": {}, "near": {"$ref": "#/$defs/P"}},
        "required": ["lat"],
    }
    properties = {
        "end": {},
        "region": {},
        "begin": {},
        "places": {"type": "array", "items": {"$ref": "#/$defs/P"}},
    }
    schema = {"properties": properties, "required": ["region", "begin"], "$defs": {"P": place}}
    given = {
        "wrong": 1,
        "places": [{"alt": 1, "near": {"alt": 2, "lat": 3}, "lat": 4}],
        "end": 1,
        "begin": 2,
        "region": 3,
    }
    ordered = in_parameter_order(given, schema)
    assert ordered == given
    assert json.dumps(ordered) == json.dumps(
        {
            "region": 3,
            "begin": 2,
            "end": 1,
            "places": [{"lat": 4, "alt": 1, "near": {"lat": 3, "alt": 2}}],
            "wrong": 1,
        }
    )


def test_servers_are_given_properties_in_the_order_of_training() -> None:
    # vLLM decodes a strict tool property by property: the order of the schema is the order of the
    # call.
    inner = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b", "a"]}
    schema = {
        "type": "object",
        "properties": {"end": {}, "place": inner, "begin": {}},
        "required": ["begin", "end"],
    }
    (entry,) = strict_openai_tools([tool(schema)])
    properties = entry["function"]["parameters"]["properties"]
    assert list(properties) == ["begin", "end", "place"]
    assert list(properties["place"]["properties"]) == ["b", "a"]
    # A property may be named like a keyword of JSON Schema.
    (entry,) = strict_openai_tools(
        [tool({"type": "object", "properties": {"properties": {"type": "string"}, "b": {}}})]
    )
    assert list(entry["function"]["parameters"]["properties"]) == ["b", "properties"]


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#/$defs/Day", {"type": "string", "$anchor": "day"}),
        ("#day", {"type": "string", "$anchor": "day"}),
        ("#/anyOf/1", {"type": "null"}),
        ("#/anyOf/second", None),
        ("#/$defs/Night", None),
        ("https://x.org/day.json", None),
    ],
)
def test_a_reference_is_followed_inside_the_schema_alone(reference: str, target: object) -> None:
    schema = {
        "$defs": {"Day": {"type": "string", "$anchor": "day"}},
        "anyOf": [{"$ref": "#/$defs/Day"}, {"type": "null"}],
    }
    assert referenced(schema, reference) == target
