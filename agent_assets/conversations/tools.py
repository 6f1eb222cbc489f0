"""Tool schemas: are they sound, and what a canonical snapshot of them looks like."""

import json
from collections.abc import Iterable
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema, canonical_json
from agent_assets.conversations.schemas.document import MAX_DEPTH, document_of
from agent_assets.conversations.schemas.drafts import draft_matters
from agent_assets.conversations.strict_tools import DATA_KEYWORDS, parameter_order
from agent_assets.conversations.tool_names import is_safe_name
from agent_assets.errors import ToolServerError

_NOISE = frozenset({"title", "$schema"})
_MAPS_OF_SCHEMAS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_TOLD = frozenset({"default", "examples", "example"})  # said to readers, judged by nobody
# Keywords whose true or false is a schema; `additionalProperties: false` is what everybody writes.
_SCHEMAS = frozenset(
    {"items", "prefixItems", "contains", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"}
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
        elif key in DATA_KEYWORDS:
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
