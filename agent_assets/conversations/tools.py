"""Tool schemas: are they sound, what a canonical snapshot of them looks like, and how a model
server wants them.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema, canonical_json
from agent_assets.conversations.row_parts import openai_tools
from agent_assets.conversations.schemas.document import MAX_DEPTH, document_of, required_names
from agent_assets.conversations.schemas.drafts import draft_matters
from agent_assets.conversations.tool_names import is_safe_name
from agent_assets.errors import ToolServerError

_NOISE = frozenset({"title", "$schema"})
_MAPS_OF_SCHEMAS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_DATA = frozenset(
    {"default", "const", "enum", "examples", "example"}
)  # values, not schemas: kept as they are

_TOLD = frozenset({"default", "examples", "example"})  # said to readers, judged by nobody
# Keywords whose true or false is a schema; `additionalProperties: false` is what everybody writes.
_SCHEMAS = frozenset(
    {"items", "prefixItems", "contains", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"}
)

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


def check_schema(tool: ToolSchema) -> list[str]:
    """What is wrong with a tool's name or JSON Schema; empty when nothing is."""
    problems = []
    if not is_safe_name(tool.name):
        problems.append("the name is not 1 to 64 letters, digits, '_' or '-'")
    schema = tool.parameters
    if is_too_deep(schema):
        return [*problems, f"the schema is nested deeper than {MAX_DEPTH} levels"]
    if not _is_json([tool.description, schema]):
        return [*problems, "it holds a number or a character that JSON has not"]
    if schema.get("type") != "object":
        return [*problems, f"parameters have type {schema.get('type')!r}, not 'object'"]
    return problems + document_of(schema).problems()


def is_too_deep(value: object) -> bool:
    """Whether JSON is nested deeper than anything here follows."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def normalise_schema(schema: JsonObject) -> JsonObject:
    """The schema without titles and `$schema`, generated noise that a model would have to read.

    Null defaults stay, and so does a `$schema` without which the schema would mean something else.
    Examples and defaults that JSON has not (infinity) go; a schema that is only true or false is
    written as an object, which every reader of tools knows.
    """
    clean = _normalise(schema)
    return {"$schema": schema["$schema"], **clean} if draft_matters(schema) else clean


def schema_snapshot(tools: Iterable[ToolSchema]) -> str:
    """Canonical JSON of tools: sorted by name, keys sorted, indented, so that two snapshots compare
    line by line.
    """
    entries = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": normalise_schema(tool.parameters),
        }
        for tool in sorted(tools, key=lambda tool: tool.name)
    ]
    return json.dumps(entries, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_snapshot(text: str) -> list[ToolSchema]:
    """The tools of a snapshot, sorted by name.

    Raises:
        ToolServerError: the text is not a snapshot.
    """
    try:
        entries = json.loads(text)
        tools = [
            ToolSchema(entry["name"], entry["description"], entry["parameters"])
            for entry in entries
        ]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ToolServerError(
            f"The tool snapshot cannot be read ({type(error).__name__}).",
            next_step="materialize mcp_tool_schema again.",
        ) from None
    return sorted(tools, key=lambda tool: tool.name)


def parameter_order(schema: JsonObject) -> list[str]:
    """Names of an object's properties as models read and write them: required ones as listed, then
    the others by name.

    A model decides on an optional argument when it has written the required ones. Snapshots sort
    properties, so their own order says nothing.
    """
    properties = schema.get("properties", {})
    required = [name for name in dict.fromkeys(required_names(schema)) if name in properties]
    return required + sorted(set(properties) - set(required))


def in_parameter_order(arguments: JsonObject, schema: JsonObject) -> JsonObject:
    """Arguments of a call, nested objects too, in `parameter_order`; names the schema has not come
    last, sorted.
    """
    return _ordered(arguments, schema, schema)  # type: ignore[no-any-return]


def referenced(root: JsonObject, reference: str) -> Any:
    """What a `$ref` such as `#/$defs/Day` points at; None for nothing, and for what lies elsewhere:
    nothing is fetched.
    """
    return document_of(root).referenced(reference)


def argument_schemas(tool: ToolSchema) -> dict[str, Any]:
    """Schemas of a tool's arguments by name, wherever its schema speaks of them."""
    return document_of(tool.parameters).arguments


def required_arguments(tool: ToolSchema) -> frozenset[str]:
    """Names of the arguments that every call of a tool has."""
    return document_of(tool.parameters).required


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
        key: value if key in _DATA else _properties_in_order(value) for key, value in schema.items()
    }
    if isinstance(ordered.get("properties"), dict):
        ordered["properties"] = {
            name: ordered["properties"][name] for name in parameter_order(ordered)
        }
    return ordered


def _ordered(value: object, schema: Any, root: JsonObject) -> Any:
    if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        schema = referenced(root, schema["$ref"])
    if not isinstance(schema, dict):
        schema = {}
    if isinstance(value, list):
        return [_ordered(item, schema.get("items"), root) for item in value]
    if not isinstance(value, dict):
        return value
    known = [name for name in parameter_order(schema) if name in value]
    names = known + sorted(set(value) - set(known))
    return {
        name: _ordered(value[name], schema.get("properties", {}).get(name), root) for name in names
    }


def _normalise(schema: JsonObject) -> JsonObject:
    clean: JsonObject = {}
    for key, value in schema.items():
        if (key in _NOISE and isinstance(value, str)) or (key in _TOLD and not _is_json(value)):
            continue
        if key in _MAPS_OF_SCHEMAS and isinstance(value, dict):
            clean[key] = {name: _normalise_schema(item) for name, item in value.items()}
        elif key in _DATA:
            clean[key] = value
        elif key in _SCHEMAS:
            clean[key] = _normalise_schema(value)
        else:
            clean[key] = _normalise_value(value)
    return clean


def _normalise_schema(value: object) -> Any:
    if isinstance(value, bool):
        return {} if value else {"not": {}}
    if isinstance(value, list):
        return [_normalise_schema(item) for item in value]
    return _normalise_value(value)


def _normalise_value(value: object) -> Any:
    if isinstance(value, dict):
        return _normalise(value)
    return [_normalise_value(item) for item in value] if isinstance(value, list) else value


def _is_json(value: object) -> bool:
    """Whether a value can be written as JSON in UTF-8: no NaN, no infinity, no half character."""
    try:
        canonical_json(value).encode()
    except ValueError:
        return False
    return True


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
