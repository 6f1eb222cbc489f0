"""What the keywords of a resolved schema say of objects and lists, in every draft."""

from typing import Any

from agent_assets.conversations.messages import JsonObject
from agent_assets.synthesis.arguments.pool import CannotSample

# Of a schema that names no type, which it speaks of.
_KEYWORDS = {
    "object": frozenset(
        {"properties", "patternProperties", "additionalProperties", "minProperties", "required"}
    ),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"}),
    "number": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
}


def kind_of(schema: JsonObject) -> str:
    """The type of a resolved schema; where it names none, the one that its keywords speak of."""
    named = schema.get("type")
    if isinstance(named, str):
        return named
    for kind, keywords in _KEYWORDS.items():
        if schema.keys() & keywords:
            return kind
    return "string"


def required_properties(schema: JsonObject) -> set[str]:
    """Names of what an object must have; in draft 3 each property says so itself."""
    listed = schema.get("required", ())
    flagged = {
        name
        for name, part in schema.get("properties", {}).items()
        if isinstance(part, dict) and part.get("required") is True
    }
    return flagged | set(listed if isinstance(listed, list | tuple) else ())


def named_properties(schema: JsonObject) -> JsonObject:
    """The properties of an object, also those that it only requires."""
    properties: JsonObject = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    unnamed = {
        name: others for name in sorted(required_properties(schema)) if name not in properties
    }
    if unnamed and others is False:
        raise CannotSample(f"{', '.join(unnamed)} is required, and not allowed")
    return {**properties, **unnamed}


def item_schemas(schema: JsonObject) -> tuple[list[Any], Any]:
    """Schemas of the first items one by one, and of all others."""
    items = schema.get("items", {})
    if isinstance(items, list):
        return items, schema.get("additionalItems", {})
    return list(schema.get("prefixItems", ())), items
