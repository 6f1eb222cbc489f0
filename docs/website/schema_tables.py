"""Settings as Markdown tables, from the JSON Schema of the model that reads them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
}
# What these mean wherever they stand, where a field does not say more.
_USUAL = {
    "max_minutes": "Wall-clock limit.",
    "max_memory_gb": "Resident memory limit of its program.",
    "seed": "Seed of what is left to chance.",
}
_HEAD = "| {name} | type | default | |\n|---|---|---|---|"


@dataclass(frozen=True)
class Table:
    """One model below a dotted path, `` for the whole file.

    Args:
        title: `train_jsonl.sources[]`, or the name of the model.
        rows: name, type, default and description of each field.
    """

    title: str
    description: str
    rows: tuple[tuple[str, str, str, str], ...]

    def markdown(self, *, level: int, name: str = "setting") -> str:
        """A heading, what the model is for, its fields."""
        lines = [f"{'#' * level} {self.title}", "", self.description, "", _HEAD.format(name=name)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join(lines) + "\n"


def tables(schema: Schema, title: str, definitions: Schema | None = None) -> Iterator[Table]:
    """The tables of a schema: its own, and one for every object below it, in reading order.

    Args:
        title: heading of the first table; paths below it begin with nothing where it has a space.
    """
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    prefix = "" if " " in title else f"{title}."
    properties: Schema = schema.get("properties", {})
    required = schema.get("required", [])
    rows = tuple(
        _row(name, field, definitions, needed=name in required)
        for name, field in properties.items()
    )
    yield Table(title, _prose(schema.get("description", "")), rows)
    for name, field in properties.items():
        for below, model in _models_of(field, definitions):
            yield from tables(model, f"{prefix}{name}{below}", definitions)


def describe_type(field: Schema, definitions: Schema) -> str:
    """`integer ≥ 1`, or `"remove" or "keep"`."""
    if "$ref" in field:
        field = {**_resolved(field, definitions), **{k: v for k, v in field.items() if k != "$ref"}}
    choices = field.get("anyOf") or field.get("oneOf")
    if choices:
        texts = [describe_type(choice, definitions) for choice in choices]
        return " or ".join(dict.fromkeys(texts))
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    return " ".join([_plain_type(field, definitions), *_bounds(field)]).strip()


def undescribed(schema: Schema, title: str) -> list[str]:
    """Settings of which nothing says what they mean."""
    return [
        f"{table.title}: {row[0]}"
        for table in tables(schema, title)
        for row in table.rows
        if not row[3]
    ]


def _plain_type(field: Schema, definitions: Schema) -> str:
    kind = str(field.get("type", "anything"))
    if kind == "array":
        return f"list of {describe_type(field.get('items', {}), definitions)}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping of names to {describe_type(field['additionalProperties'], definitions)}"
    return {"object": "settings" if "properties" in field else "mapping"}.get(kind, kind)


def _bounds(field: Schema) -> list[str]:
    bounds = [text.format(field[key]) for key, text in _BOUNDS.items() if key in field]
    return [", ".join(bounds)] if bounds else []


def _row(
    name: str, field: Schema, definitions: Schema, *, needed: bool
) -> tuple[str, str, str, str]:
    has_own_table = any(True for _ in _models_of(field, definitions))
    default = "needed" if needed else _default(field, hidden=has_own_table)
    meaning = _prose(field.get("description", _USUAL.get(name, "")))
    if not meaning and has_own_table:
        meaning = _prose(next(_models_of(field, definitions))[1].get("description", ""))
    cells = (f"`{name}`", describe_type(field, definitions), default, meaning)
    first, *others = (cell.replace("|", "\\|") for cell in cells)
    return (first, *others)  # type: ignore[return-value]


def _default(field: Schema, *, hidden: bool) -> str:
    value = field.get("default")
    if hidden and isinstance(value, dict):
        return "as below"
    if "default" not in field:  # it is made by a function
        return "`[]`" if field.get("type") == "array" else ""
    return "none" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _models_of(field: Schema, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """Objects with fields of their own in a field, with what their path ends in."""
    if "$ref" in field:
        field = _resolved(field, definitions)
    if "properties" in field:
        yield "", field
    for choice in [*field.get("anyOf", []), *field.get("oneOf", [])]:
        yield from _models_of(choice, definitions)
    for key, below in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(field.get(key), dict):
            for deeper, model in _models_of(field[key], definitions):
                yield below + deeper, model


def _resolved(field: Schema, definitions: Schema) -> Schema:
    model: Schema = definitions[str(field["$ref"]).rpartition("/")[2]]
    return model


def _prose(text: str) -> str:
    """A docstring as one line of text: what follows `Args:` is for readers of the code."""
    return " ".join(text.partition("\nArgs:")[0].split())
