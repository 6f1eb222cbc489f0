"""Reading JSON Schemas: references and choices resolved, dates and ranges of dates recognised."""

import re
from collections.abc import Callable
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.tools import argument_schemas, referenced
from agent_assets.synthesis.arguments.described import ISO_DAY, described_day

_START_WORDS, _END_WORDS = (
    ("start", "from", "begin", "since", "first"),
    ("end", "to", "until", "till", "last"),
)
# A schema that says one of these says more of a text than that it is one.
_SAYS_MORE = frozenset({"format", "enum", "const", "pattern", "minLength", "maxLength", "examples"})
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")

# Of a number of branches, the one to take.
Choose = Callable[[int], int]


def first_branch(_count: int) -> int:
    """Takes the first branch of every choice."""
    return 0


def date_ranges(tool: ToolSchema) -> dict[str, str]:
    """Parameters that start a range of dates, with those that end it."""
    forms = {
        name: day_form(name, resolve(schema, tool.parameters))
        for name, schema in argument_schemas(tool).items()
    }
    days = {name: form for name, form in forms.items() if form is not None and "%H" not in form}
    pairs = {}
    for start in days:
        for end in days:
            stem = _stem(start, _START_WORDS)
            if start != end and stem is not None and stem == _stem(end, _END_WORDS):
                pairs[start] = end
    return pairs


def day_form(name: str, schema: JsonObject) -> str | None:
    """How a resolved schema wants a day written, as `strftime` takes it: by its format, or, where
    it says no more than string, by its description or its name; None where it wants no day.
    """
    if schema.get("type") != "string":
        return None
    if schema.get("format") == "date":
        return ISO_DAY
    if schema.keys() & _SAYS_MORE:
        return None
    form = described_day(str(schema.get("description", "")))
    return ISO_DAY if form is None and "date" in name_words(name) else form


def name_words(name: str) -> list[str]:
    """The words of a name in lower case: `start_date`, `start-date` and `startDate` have two."""
    return [word.lower() for word in _NAME_WORD.findall(name)]


def resolve(schema: Any, root: JsonObject, choose: Choose = first_branch) -> JsonObject:
    """The schema with references followed, `allOf` merged, and of a choice the branch that `choose`
    takes among those that are not null.
    """
    for _ in range(32):  # a chain of references longer than this leads in a circle
        if not isinstance(schema, dict):
            return {"not": {}} if schema is False else {}
        if "$ref" in schema:
            target = referenced(root, schema["$ref"])
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = _merge(target if isinstance(target, dict) else {}, beside)
        elif "allOf" in schema:
            merged = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                merged = _merge(merged, resolve(part, root, choose))
            schema = merged
        elif choice := schema.get("anyOf") or schema.get("oneOf"):
            key = "anyOf" if schema.get("anyOf") else "oneOf"
            branches = [branch for branch in choice if not _is_null(branch, root)] or choice
            branch = branches[choose(len(branches))]
            outer = {name: value for name, value in schema.items() if name != key}
            schema = _merge(outer, branch if isinstance(branch, dict) else {})
        elif isinstance(schema.get("type"), list):
            kinds = [kind for kind in schema["type"] if kind != "null"]
            schema = {**schema, "type": kinds[choose(len(kinds))] if kinds else "null"}
        else:
            return schema
    return {}


def _stem(name: str, words: tuple[str, ...]) -> str | None:
    """The name without its word for start or end: `start_date` and `end_date` both leave `date`."""
    parts = name_words(name)
    rest = [part for part in parts if part not in words]
    return "_".join(rest) if len(rest) == len(parts) - 1 else None


def _is_null(branch: object, root: JsonObject) -> bool:
    return bool(resolve(branch, root).get("type") == "null")


_LARGER = frozenset({"minimum", "minLength", "minItems", "minProperties"})
_SMALLER = frozenset({"maximum", "maxLength", "maxItems", "maxProperties"})


def _merge(left: JsonObject, right: JsonObject) -> JsonObject:
    """One schema for two that both hold: as far as that can be written. What comes of it is
    validated with the schema itself.
    """
    merged = {**left, **right}
    for key in left.keys() & right.keys():
        merged[key] = _both(key, left[key], right[key])
    return merged


def _both(key: str, left: Any, right: Any) -> Any:
    if key in _LARGER:
        return max(left, right)
    if key in _SMALLER:
        return min(left, right)
    combine = _COMBINED.get(key)
    return right if combine is None or left == right else combine(left, right)


def _properties(left: JsonObject, right: JsonObject) -> JsonObject:
    shared = {
        name: {"allOf": [left[name], right[name]]}
        for name in left.keys() & right.keys()
        if left[name] != right[name]
    }
    return {**left, **right, **shared}


def _required(left: Any, right: Any) -> Any:
    lists = isinstance(left, list) and isinstance(right, list)  # a flag in draft 3
    return sorted({*left, *right}) if lists else right


def _types(left: Any, right: Any) -> Any:
    kinds = _kinds(left) & _kinds(right)
    return sorted(kinds - {"number"} if "integer" in kinds else kinds) if kinds else right


def _kinds(kind: Any) -> set[str]:
    kinds = set(kind) if isinstance(kind, list) else {kind}
    return kinds | ({"integer"} if "number" in kinds else set())


_COMBINED: dict[str, Callable[[Any, Any], Any]] = {
    "properties": _properties,
    "required": _required,
    "enum": lambda left, right: [value for value in left if value in right],
    "type": _types,
}
