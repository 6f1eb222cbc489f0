"""Arguments for a tool, sampled from its JSON Schema: deterministic for a given random generator.

What the schema does not say can be given per parameter as a `Pool`: the values to choose from, or
the span of dates.
"""

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.synthesis.arguments.described import described_text
from agent_assets.synthesis.arguments.json_schema import date_ranges, is_date, resolve

MAX_DEPTH = 4  # of nested schemas; recursive ones are cut there by leaving optional parts out
_WORDS = (
    "alpha",
    "river",
    "north",
    "garden",
    "copper",
    "window",
    "summer",
    "paper",
    "harbor",
    "silver",
)


@dataclass(frozen=True)
class Pool:
    """Where values of one parameter come from.

    Args:
        values: to choose from; empty leaves it to the schema.
        first, last: span of dates.
        days: fewest and most days of a range (both ends counted), set on the parameter that starts
            it.
    """

    values: tuple[Any, ...] = ()
    first: date = date(2025, 1, 1)
    last: date = date(2025, 12, 31)
    days: tuple[int, int] = (2, 4)


Pools = Mapping[str, Pool]


class CannotSample(Exception):
    """A required part of a schema has no value this module can make. Always handled: the tool is
    named uncoverable.
    """


def sample_arguments(
    tool: ToolSchema,
    pools: Pools,
    rng: Random,
    *,
    names: frozenset[str] | None = None,
    one_day: bool = False,
) -> JsonObject:
    """Arguments that the schema allows.

    Args:
        names: exactly these arguments; None takes the required ones and each optional one half the
            time.
        one_day: a range of dates has its start as its end.

    Raises:
        CannotSample: a needed parameter has a schema that nothing can be made from.
    """
    properties: JsonObject = tool.parameters.get("properties", {})
    required = set(tool.parameters.get("required", ()))
    chosen = [
        name
        for name in sorted(properties)
        if (name in names if names is not None else name in required or rng.random() < 0.5)
    ]
    arguments: JsonObject = {}
    for start, end in date_ranges(tool).items():
        if start in chosen:
            length = 1 if one_day else rng.randint(*_pool(pools, start).days)
            first = _sample_day(_pool(pools, start), rng, room=length - 1)
            arguments[start] = first.isoformat()
            if end in chosen:
                arguments[end] = (first + timedelta(days=length - 1)).isoformat()
    for name in chosen:
        if name not in arguments:
            value = _sample(
                properties[name], tool.parameters, _pool(pools, name), rng, name, depth=0
            )
            arguments[name] = value
    return {name: arguments[name] for name in properties if name in arguments}


def _sample(schema: Any, root: JsonObject, pool: Pool, rng: Random, name: str, depth: int) -> Any:
    schema = resolve(schema, root)
    if pool.values and schema.get("type") != "array":
        return rng.choice(pool.values)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        values = [value for value in schema["enum"] if value is not None]
        return rng.choice(values) if values else None
    match schema.get("type") or ("object" if "properties" in schema else "string"):
        case "object":
            value: object = _sample_object(schema, root, rng, depth)
        case "array":
            value = _sample_array(schema, root, pool, rng, name, depth)
        case "boolean":
            value = rng.random() < 0.5
        case "integer" | "number" as kind:
            value = _sample_number(schema, kind, rng)
        case "null":
            value = None
        case _:
            value = _sample_text(schema, pool, rng, name)
    return value


def _sample_object(schema: JsonObject, root: JsonObject, rng: Random, depth: int) -> JsonObject:
    required = set(schema.get("required", ()))
    if depth >= MAX_DEPTH and required:
        raise CannotSample(f"objects nested deeper than {MAX_DEPTH}")
    return {
        name: _sample(part, root, Pool(), rng, name, depth + 1)
        for name, part in sorted(schema.get("properties", {}).items())
        if name in required or (depth < MAX_DEPTH - 1 and rng.random() < 0.5)
    }


def _sample_array(
    schema: JsonObject, root: JsonObject, pool: Pool, rng: Random, name: str, depth: int
) -> list[Any]:
    fewest = int(schema.get("minItems", 0))
    if depth >= MAX_DEPTH and not fewest:
        return []
    count = rng.randint(max(1, fewest), max(1, fewest, min(3, int(schema.get("maxItems", 3)))))
    items = resolve(schema.get("items", {}), root)
    choices = list(pool.values) or items.get("enum")
    if choices:
        return rng.sample(choices, min(count, len(choices)))
    return [_sample(items, root, pool, rng, name, depth + 1) for _ in range(count)]


def _sample_number(schema: JsonObject, kind: str, rng: Random) -> int | float:
    examples = _examples(schema)
    if examples:
        return rng.choice(examples)  # type: ignore[no-any-return]
    step = schema.get("multipleOf", 1 if kind == "integer" else 0.5)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    low = (1 if high is None else min(1, high - 100 * step)) if low is None else low
    high = low + 100 * step if high is None else high
    first, last = math.ceil(low / step), math.floor(high / step)
    first += first * step <= schema.get("exclusiveMinimum", -math.inf)
    last -= last * step >= schema.get("exclusiveMaximum", math.inf)
    if first > last:
        raise CannotSample("a number with no value between its limits")
    number = rng.randint(first, last) * step
    return int(number) if kind == "integer" else float(number)


def _sample_text(schema: JsonObject, pool: Pool, rng: Random, name: str) -> str:
    examples = [str(value) for value in _examples(schema)]
    form = schema.get("format")
    if is_date(name, schema):
        return _sample_day(pool, rng, room=0).isoformat()
    if form in {"date-time", "time"}:
        clock = f"{rng.randrange(24):02d}:{rng.choice((0, 15, 30, 45)):02d}:00Z"
        return clock if form == "time" else f"{_sample_day(pool, rng, room=0).isoformat()}T{clock}"
    if examples:
        return rng.choice(examples)
    if form == "email":
        return f"{rng.choice(_WORDS)}@example.com"
    if form in {"uri", "url"}:
        return f"https://example.com/{rng.choice(_WORDS)}"
    if form is not None or "pattern" in schema:
        raise CannotSample("a text with a format or pattern and without examples")
    return described_text(str(schema.get("description", "")), rng) or _words(schema, rng)


def _words(schema: JsonObject, rng: Random) -> str:
    text = " ".join(rng.sample(_WORDS, rng.randint(1, 2)))
    text += "".join(
        rng.choice(string.ascii_lowercase)
        for _ in range(int(schema.get("minLength", 0)) - len(text))
    )
    return text[: schema.get("maxLength")]


def _examples(schema: JsonObject) -> list[Any]:
    listed = schema.get("examples") or ([schema["example"]] if "example" in schema else [])
    usual = schema.get("default")
    return [*listed, *([usual] if usual is not None and usual not in listed else [])]


def _sample_day(pool: Pool, rng: Random, *, room: int) -> date:
    span = (pool.last - pool.first).days - room
    if span < 0:
        raise CannotSample("a span of dates shorter than one range")
    return pool.first + timedelta(days=rng.randint(0, span))


def _pool(pools: Pools, name: str) -> Pool:
    return pools.get(name, Pool())
