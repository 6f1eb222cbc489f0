"""Reading JSON Schemas: references and choices resolved, dates and ranges of dates recognised."""

from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.tools import referenced

_ANNOTATIONS = ("description", "title", "default", "examples")
_START_WORDS, _END_WORDS = (
    ("start", "from", "begin", "since", "first"),
    ("end", "to", "until", "till", "last"),
)


def date_ranges(tool: ToolSchema) -> dict[str, str]:
    """Parameters that start a range of dates, with those that end it."""
    properties: JsonObject = tool.parameters.get("properties", {})
    dates = [
        name
        for name, schema in properties.items()
        if is_date(name, resolve(schema, tool.parameters))
    ]
    pairs = {}
    for start in dates:
        for end in dates:
            stem = _stem(start, _START_WORDS)
            if start != end and stem is not None and stem == _stem(end, _END_WORDS):
                pairs[start] = end
    return pairs


def is_date(name: str, schema: JsonObject) -> bool:
    """Whether a resolved schema takes ISO dates: by its format, or, where it says no more than
    string, by its name.
    """
    if schema.get("type") != "string":
        return False
    bare = not schema.keys() & {"format", "enum", "pattern", "minLength", "maxLength", "examples"}
    return schema.get("format") == "date" or (bare and "date" in name.lower().split("_"))


def resolve(schema: Any, root: JsonObject) -> JsonObject:
    """The schema with references followed, `allOf` merged, and of a choice the first branch that is
    not null.
    """
    for _ in range(32):  # a chain of references longer than this leads in a circle
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            target = referenced(root, schema["$ref"])
            schema = {
                **(target if isinstance(target, dict) else {}),
                **{key: schema[key] for key in _ANNOTATIONS if key in schema},
            }
        elif "allOf" in schema:
            merged = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                merged = _merge(merged, resolve(part, root))
            schema = merged
        elif choice := schema.get("anyOf") or schema.get("oneOf"):
            branches = [branch for branch in choice if not _is_null(branch, root)] or choice
            outer = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
            schema = {**outer, **branches[0]}
        elif isinstance(schema.get("type"), list):
            kinds = [kind for kind in schema["type"] if kind != "null"]
            schema = {**schema, "type": kinds[0] if kinds else "null"}
        else:
            return schema
    return {}


def _stem(name: str, words: tuple[str, ...]) -> str | None:
    """The name without its word for start or end: `start_date` and `end_date` both leave `date`."""
    parts = name.lower().replace("-", "_").split("_")
    rest = [part for part in parts if part not in words]
    return "_".join(rest) if len(rest) == len(parts) - 1 else None


def _is_null(branch: object, root: JsonObject) -> bool:
    return bool(resolve(branch, root).get("type") == "null")


def _merge(left: JsonObject, right: JsonObject) -> JsonObject:
    merged = {**left, **right}
    if "properties" in left and "properties" in right:
        merged["properties"] = {**left["properties"], **right["properties"]}
    if "required" in left and "required" in right:
        merged["required"] = sorted({*left["required"], *right["required"]})
    return merged
