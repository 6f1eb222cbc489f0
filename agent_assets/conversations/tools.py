"""Tool schemas: are they sound, what a canonical snapshot of them looks like, and how a model
server wants them.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.row_parts import openai_tools
from agent_assets.conversations.tool_names import is_safe_name
from agent_assets.errors import ToolServerError

_NOISE = frozenset({"title", "$schema"})
_MAPS_OF_SCHEMAS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_DATA = frozenset(
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


def check_schema(tool: ToolSchema) -> list[str]:
    """What is wrong with a tool's name or JSON Schema; empty when nothing is."""
    problems = []
    if not is_safe_name(tool.name):
        problems.append("the name is not 1 to 64 letters, digits, '_' or '-'")
    schema = tool.parameters
    if schema.get("type") != "object":
        return [*problems, f"parameters have type {schema.get('type')!r}, not 'object'"]
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "parameters"
        return [*problems, f"not a JSON Schema at {where}: {error.message}"]
    problems += [
        f"$ref {target!r} has no target"
        for target in _references(schema)
        if referenced(schema, target) is None
    ]
    missing = sorted(set(schema.get("required", ())) - set(schema.get("properties", {})))
    return problems + [
        f"required argument {name!r} is not among the properties" for name in missing
    ]


def normalise_schema(schema: JsonObject) -> JsonObject:
    """The schema without titles and `$schema`, generated noise that a model would have to read.
    Null defaults stay.
    """
    clean: JsonObject = {}
    for key, value in schema.items():
        if key in _NOISE and isinstance(value, str):
            continue
        if key in _MAPS_OF_SCHEMAS and isinstance(value, dict):
            clean[key] = {name: _normalise_value(item) for name, item in value.items()}
        else:
            clean[key] = value if key in _DATA else _normalise_value(value)
    return clean


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
    required = [name for name in dict.fromkeys(schema.get("required", ())) if name in properties]
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
    resource = DRAFT202012.create_resource(root)
    try:
        return Registry().with_resource("", resource).resolver().lookup(reference).contents
    except (Unresolvable, ValueError):  # a step into a list that is no number is a ValueError
        return None


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


def _normalise_value(value: object) -> Any:
    if isinstance(value, dict):
        return normalise_schema(value)
    return [_normalise_value(item) for item in value] if isinstance(value, list) else value


def _fits_strict(schema: Any) -> bool:
    """Whether every object in the schema is closed and requires all of its properties, and no
    keyword is refused.
    """
    if not isinstance(schema, dict):
        return True
    if (
        not _STRICT_KEYWORDS.issuperset(schema)
        or schema.get("format", "date") not in _STRICT_FORMATS
    ):
        return False
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    inner = [
        *properties.values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", ()),
        schema.get("items"),
    ]
    return all(map(_fits_strict, [*inner, schema.get("additionalProperties")]))


def _references(schema: Any) -> list[str]:
    """Every `$ref` in a schema, in order."""
    if isinstance(schema, list):
        return [target for item in schema for target in _references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [
        target for key, value in schema.items() if key not in _DATA for target in _references(value)
    ]
