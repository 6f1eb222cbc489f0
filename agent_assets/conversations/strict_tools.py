"""Tools as requests offer them to a model server, and in which order a model writes arguments.

Standard library only: training renders tools the same way, in an engine environment.
"""

from collections.abc import Sequence
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.row_parts import openai_tools

DATA_KEYWORDS = frozenset(
    {"default", "const", "enum", "examples", "example"}
)  # values, not schemas: kept as they are

# What OpenAI takes in the schema of a strict tool; it refuses the whole request for anything else.
_STRICT_KEYWORDS = frozenset(
    {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "description",
        "title",
        "anyOf",
        "$ref",
        "$defs",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
    }
)
_STRICT_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)


def required_names(schema: JsonObject) -> list[str]:
    """What an object's schema requires, as it lists it; nothing of draft 3, where `required` is a
    flag.
    """
    required = schema.get("required")
    return required if isinstance(required, list) else []


def parameter_order(schema: JsonObject) -> list[str]:
    """Names of an object's properties as models read and write them: required ones as listed, then
    the others by name.

    A model decides on an optional argument when it has written the required ones. Snapshots sort
    properties, so their own order says nothing.
    """
    properties = schema.get("properties", {})
    required = [name for name in dict.fromkeys(required_names(schema)) if name in properties]
    return required + sorted(set(properties) - set(required))


def strict_openai_tools(tools: Sequence[ToolSchema]) -> list[JsonObject]:
    """As `openai_tools`, closed to unknown arguments, properties in `parameter_order`, `strict`
    where schemas allow it.

    A server that decodes strictly makes the model write arguments in the order of the properties:
    in another order than the trained one, right calls come out wrong. Strict decoding wants every
    argument required and knows few keywords; a tool with an optional argument or another keyword is
    sent without `strict`, because changing its schema would show another tool than the trained one.
    """
    entries = openai_tools(tools)
    for entry in entries:
        function = entry["function"]
        function["parameters"] = {
            "additionalProperties": False,
            **_properties_in_order(function["parameters"]),
        }
        if _fits_strict(function["parameters"]):
            function["strict"] = True
    return entries


def _properties_in_order(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_properties_in_order(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    ordered = {
        key: value if key in DATA_KEYWORDS else _properties_in_order(value)
        for key, value in schema.items()
    }
    if isinstance(ordered.get("properties"), dict):
        ordered["properties"] = {
            name: ordered["properties"][name] for name in parameter_order(ordered)
        }
    return ordered


def _fits_strict(schema: Any) -> bool:
    """Whether every object in the schema is closed and requires all of its properties, and no
    keyword is refused.
    """
    if not isinstance(schema, dict):
        return schema is not True
    if (
        not _STRICT_KEYWORDS.issuperset(schema)
        or schema.get("format", "date") not in _STRICT_FORMATS
    ):
        return False
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(required_names(schema)) != set(properties):
            return False
    inner = [
        *properties.values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", ()),
        schema.get("items"),
    ]
    return all(map(_fits_strict, [*inner, schema.get("additionalProperties")]))
