"""In which draft of JSON Schema a schema is written, and the validator of that draft.

A schema names its draft by `$schema`; where it names none, the keywords it uses say which one can
be meant, and the newest of those is taken.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import FormatChecker, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    extend,
)
from jsonschema_specifications import REGISTRY

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.schemas.patterns import is_pattern, matches

NEWEST = "2020-12"
_CLASSES: Mapping[str, type[Validator]] = {
    "3": Draft3Validator,
    "4": Draft4Validator,
    "6": Draft6Validator,
    "7": Draft7Validator,
    "2019-09": Draft201909Validator,
    NEWEST: Draft202012Validator,
}
_NAMED = re.compile(r"json-schema\.org/draft[-/]0?(3|4|6|7|2019-09|2020-12)(?:/|$)")

# Keywords by what they hold: one schema, a list of them, or schemas by name.
_HOLDS_SCHEMA = frozenset(
    [
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
_HOLDS_LIST = frozenset(["allOf", "anyOf", "items", "oneOf", "prefixItems"])
_HOLDS_MAP = frozenset(
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"]
)
_SINCE_2019 = frozenset(
    [
        "$anchor",
        "$defs",
        "$vocabulary",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
_ONLY_2019 = frozenset({"$recursiveRef", "$recursiveAnchor"})
_ONLY_2020 = frozenset({"prefixItems", "$dynamicRef", "$dynamicAnchor"})
_UNTIL_2019 = frozenset({"additionalItems"})
_UNTIL_7 = frozenset({"dependencies"})
_DIFFERING = _SINCE_2019 | _ONLY_2019 | _ONLY_2020 | _UNTIL_2019 | _UNTIL_7 | {"$id", "id"}
# Beside `$ref` these change nothing. Drafts up to 7 pass over everything there.
_ANNOTATIONS = frozenset(
    {"$comment", "default", "deprecated", "description", "example", "examples", "title"}
)


def subschemas(schema: Any) -> Iterator[JsonObject]:
    """A schema and every schema in it, as keywords of any draft hold them; booleans left out."""
    waiting = [schema]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, dict):
            continue
        yield current
        waiting += children(current)


def children(schema: JsonObject) -> list[Any]:
    """What the keywords of a schema hold as schemas, booleans too, in its order."""
    held: list[Any] = []
    for key, value in schema.items():
        if key in _HOLDS_MAP and isinstance(value, dict):
            held += value.values()
        elif key in _HOLDS_LIST and isinstance(value, list):
            held += value
        elif key in _HOLDS_SCHEMA:
            held.append(value)
    return held


def draft_of(schema: JsonObject) -> str:
    """The draft a schema is written in, such as `7` or `2020-12`: the one it names, or the newest
    that its keywords allow.
    """
    return _named(schema) or _guessed(schema)


def draft_matters(schema: JsonObject) -> bool:
    """Whether a schema means something else without its `$schema`: it would be read by another
    draft, and keywords stand there that drafts read in different ways.
    """
    named = _named(schema)
    return (
        named is not None
        and named != _guessed(schema)
        and any(
            part.keys() & _DIFFERING
            or isinstance(part.get("items"), list)
            or ("$ref" in part and part.keys() - _ANNOTATIONS - {"$ref", "$schema"})
            for part in subschemas(schema)
        )
    )


@cache
def validator_class(draft: str) -> type[Validator]:
    """The validator of a draft, with regular expressions of ECMA-262."""
    base = _CLASSES[draft]
    return extend(  # type: ignore[no-any-return, no-untyped-call]
        base,
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties(base),
        },
        format_checker=_formats(base.FORMAT_CHECKER.checkers),
    )


@cache
def meta_validator(draft: str) -> Validator:
    """Judges whether a value is a schema of a draft; of formats, regular expressions alone: a
    reference with a space in it has a target or has none.
    """
    base = _CLASSES[draft]
    return base(base.META_SCHEMA, registry=REGISTRY, format_checker=_formats({}))


def _formats(checkers: Mapping[str, Any]) -> FormatChecker:
    formats = FormatChecker()
    formats.checkers = {**checkers, "regex": (_is_regex, ())}
    return formats


def _is_regex(value: object) -> bool:
    return not isinstance(value, str) or is_pattern(value)


def _named(schema: JsonObject) -> str | None:
    named = _NAMED.search(str(schema.get("$schema", "")).rstrip("#"))
    return None if named is None else named[1]


def _guessed(schema: JsonObject) -> str:
    keywords: set[str] = set()
    item_lists = flags = own_required = False
    for part in subschemas(schema):
        keywords |= part.keys()
        item_lists |= isinstance(part.get("items"), list)
        flags |= any(
            isinstance(part.get(key), bool) for key in ("exclusiveMinimum", "exclusiveMaximum")
        )
        own_required |= isinstance(part.get("required"), bool)
    if own_required:
        return "3"
    if flags:
        return "4"
    older = item_lists or bool(keywords & _UNTIL_2019)
    if keywords & _ONLY_2019 or (older and keywords & _SINCE_2019):
        return "2019-09"
    if keywords & (_ONLY_2020 | _SINCE_2019):
        return NEWEST
    return "7" if older or keywords & _UNTIL_7 else NEWEST


def _pattern(
    validator: Validator, pattern: str, instance: object, _schema: JsonObject
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, object], instance: object, _schema: JsonObject
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, schema in patterns.items():
        for name, value in instance.items():
            if matches(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(base: Any) -> Any:
    """The keyword as the library has it, where names are not matched by patterns."""
    plain = base.VALIDATORS["additionalProperties"]

    def additional_properties(
        validator: Any, allowed: object, instance: object, schema: JsonObject
    ) -> Iterator[ValidationError]:
        patterns = schema.get("patternProperties", {})
        if patterns and isinstance(instance, dict):
            instance = {
                name: value
                for name, value in instance.items()
                if not any(matches(pattern, name) for pattern in patterns)
            }
            schema = {key: schema[key] for key in schema if key != "patternProperties"}
        yield from plain(validator, allowed, instance, schema)

    return additional_properties
