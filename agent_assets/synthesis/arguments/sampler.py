"""Arguments for a tool, sampled from its JSON Schema: deterministic for a given random generator.

What the schema does not say can be given per parameter as a `Pool`: the values to choose from, or
the span of dates. Whatever is sampled is validated with the schema itself, so that arguments are
right, or the tool is named with the reason.
"""

from datetime import timedelta
from random import Random
from typing import Any

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.conversations.schemas.document import SchemaDocument, document_of
from agent_assets.synthesis.arguments.json_schema import (
    Choose,
    date_ranges,
    day_form,
    first_branch,
    resolve,
)
from agent_assets.synthesis.arguments.keywords import (
    item_schemas,
    kind_of,
    named_properties,
    required_properties,
)
from agent_assets.synthesis.arguments.numbers import sample_number
from agent_assets.synthesis.arguments.patterns import text_of_pattern
from agent_assets.synthesis.arguments.pool import CannotSample, Pool, Pools
from agent_assets.synthesis.arguments.texts import WORDS, sample_day, sample_text, written_day

MAX_DEPTH = 4  # of nested schemas; recursive ones are cut there by leaving optional parts out
_ATTEMPTS = 40  # to find arguments that fit; of nearly all schemas the first do
_ITEM_ATTEMPTS = 20  # to find an item that is not in a list yet
_MOST_ITEMS = 3
_RULES_OUT = frozenset({"oneOf", "not", "if"})  # what resolving a schema does not settle


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
        CannotSample: no arguments were found that the schema allows.
    """
    document = document_of(tool.parameters)
    reason = CannotSample("there are no arguments that its schema allows")
    for attempt in range(_ATTEMPTS):
        choose = first_branch if attempt == 0 else rng.randrange
        try:
            arguments = _Sampler(tool, document, pools, rng, choose).arguments(
                names, attempt, one_day=one_day
            )
        except CannotSample as error:
            reason = error
            continue
        problem = _problem(document, arguments)
        if problem is None:
            return arguments
        reason = CannotSample(f"no arguments were found that its schema allows ({problem})")
    raise reason


def _problem(document: SchemaDocument, arguments: JsonObject) -> str | None:
    """What the schema says against arguments, without their values; None for nothing."""
    given = {
        name: value
        for name, value in arguments.items()
        if value is not None or not _null_by_default(document.arguments.get(name))
    }
    error = next(document.call_validator.iter_errors(given), None)
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path) or "as a whole"
    return f"{where}: {error.validator or 'never allowed'}"


def _null_by_default(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("default", ...) is None


class _Sampler:
    """One attempt; `choose` takes a branch where the schema has several."""

    def __init__(
        self,
        tool: ToolSchema,
        document: SchemaDocument,
        pools: Pools,
        rng: Random,
        choose: Choose,
    ) -> None:
        self._tool, self._document, self._pools = tool, document, pools
        self._rng, self._choose = rng, choose

    def arguments(self, names: frozenset[str] | None, attempt: int, *, one_day: bool) -> JsonObject:
        schema = self._resolved(self._tool.parameters)
        properties = named_properties(schema)
        required = required_properties(schema)
        chosen = [
            name
            for name in sorted(properties)
            if (name in names if names is not None else name in required or self._takes(attempt))
        ]
        arguments = self._days(chosen, properties, one_day=one_day)
        for name in chosen:
            if name not in arguments:
                try:
                    arguments[name] = self.value(properties[name], self._pool(name), name, depth=0)
                except CannotSample:
                    if names is not None or name in required:
                        raise
        self._fill(arguments, schema, depth=0)
        return {name: arguments[name] for name in [*properties, *arguments] if name in arguments}

    def _takes(self, attempt: int) -> bool:
        """Whether an optional argument is given: half the time; where that did not fit, all are,
        and then none.
        """
        takes = self._rng.random() < 0.5
        return takes if attempt not in {1, 2} else attempt == 1

    def _days(self, chosen: list[str], properties: JsonObject, *, one_day: bool) -> JsonObject:
        """Both ends of ranges of dates."""
        arguments: JsonObject = {}
        for start, end in date_ranges(self._tool).items():
            if start not in chosen:
                continue
            pool = self._pool(start)
            length = 1 if one_day else self._rng.randint(*pool.days)
            first = sample_day(pool, self._rng, room=length - 1)
            for name, day in ((start, first), (end, first + timedelta(days=length - 1))):
                form = day_form(name, self._resolved(properties.get(name, {})))
                if name in chosen and form is not None:
                    arguments[name] = written_day(form, day, self._rng)
        return arguments

    def value(self, schema: Any, pool: Pool, name: str, depth: int) -> Any:
        """A value; where a rule of the schema says what it must not be, another until it fits."""
        value = self._any_value(schema, pool, name, depth)
        if isinstance(schema, dict) and schema.keys() & _RULES_OUT:
            judge = self._document.validator.evolve(schema=schema)
            for _ in range(_ITEM_ATTEMPTS):
                if judge.is_valid(value):
                    break
                value = self._any_value(schema, pool, name, depth)
        return value

    def _any_value(self, schema: Any, pool: Pool, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > 2 * MAX_DEPTH:
            raise CannotSample(f"objects nested deeper than {MAX_DEPTH}")
        if pool.values and schema.get("type") != "array":
            return self._rng.choice(pool.values)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            values = [value for value in schema["enum"] if value is not None]
            return self._rng.choice(values) if values else None
        match kind_of(schema):
            case "object":
                value: object = self._object(schema, depth)
            case "array":
                value = self._array(schema, pool, name, depth)
            case "boolean":
                value = self._rng.random() < 0.5
            case "integer" | "number" as kind:
                value = self._number(schema, kind)
            case "null":
                value = None
            case _:
                value = sample_text(schema, pool, self._rng, name, self._examples(schema))
        return value

    def _number(self, schema: JsonObject, kind: str) -> Any:
        examples = self._examples(schema)
        return self._rng.choice(examples) if examples else sample_number(schema, kind, self._rng)

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        required = required_properties(schema)
        if depth >= MAX_DEPTH and required:
            raise CannotSample(f"objects nested deeper than {MAX_DEPTH}")
        value = {
            name: self.value(part, Pool(), name, depth + 1)
            for name, part in sorted(named_properties(schema).items())
            if name in required or (depth < MAX_DEPTH - 1 and self._rng.random() < 0.5)
        }
        self._fill(value, schema, depth)
        return value

    def _fill(self, value: JsonObject, schema: JsonObject, depth: int) -> None:
        """Give an object as many properties as it needs: those it has, then others."""
        fewest = int(schema.get("minProperties", 0))
        properties = schema.get("properties", {})
        for name in sorted(properties):
            if len(value) < fewest and name not in value:
                value[name] = self.value(properties[name], Pool(), name, depth + 1)
        for _ in range(_ITEM_ATTEMPTS):
            if len(value) >= fewest:
                return
            name, part = self._other_property(schema)
            if name not in value:
                value[name] = self.value(part, Pool(), name, depth + 1)

    def _other_property(self, schema: JsonObject) -> tuple[str, Any]:
        """A property that an object does not name: by a pattern of names, or any."""
        patterns = schema.get("patternProperties", {})
        if patterns:
            pattern = self._rng.choice(sorted(patterns))
            return text_of_pattern(pattern, self._rng), patterns[pattern]
        others = schema.get("additionalProperties", {})
        names = self._resolved(schema.get("propertyNames", {}))
        if names:
            return str(self.value({"type": "string", **names}, Pool(), "", 0)), others
        return self._rng.choice(WORDS), others

    def _array(self, schema: JsonObject, pool: Pool, name: str, depth: int) -> list[Any]:
        fewest, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        if (depth >= MAX_DEPTH and not fewest) or most == 0:
            return []
        highest = _MOST_ITEMS if most is None else min(_MOST_ITEMS, int(most))
        count = self._rng.randint(max(1, fewest), max(1, fewest, highest))
        first, rest = item_schemas(schema)
        if rest in (False, {"not": {}}):  # nothing may follow
            count, rest = min(count, len(first)), {}
        rest = self._resolved(rest)
        choices = list(pool.values) or (rest.get("enum") if not first else None)
        if choices:
            values = self._rng.sample(choices, min(count, len(choices)))
            repeats = 0 if schema.get("uniqueItems") else fewest - len(values)
            return values + [self._rng.choice(choices) for _ in range(repeats)]
        values = [self.value(part, Pool(), name, depth + 1) for part in first[: most or None]]
        if "contains" in schema:
            values.append(self.value(schema["contains"], Pool(), name, depth + 1))
        for _ in range(count - len(values)):
            values.append(self._item(rest, values, schema, pool, name, depth + 1))
        return values

    def _item(
        self,
        items: JsonObject,
        others: list[Any],
        schema: JsonObject,
        pool: Pool,
        name: str,
        depth: int,
    ) -> Any:
        for _ in range(_ITEM_ATTEMPTS):
            value = self.value(items, pool, name, depth)
            if not schema.get("uniqueItems") or value not in others:
                break
        return value

    def _examples(self, schema: JsonObject) -> list[Any]:
        """Examples and the default of a schema, those that it allows itself."""
        listed = schema.get("examples") or ([schema["example"]] if "example" in schema else [])
        listed = listed if isinstance(listed, list) else [listed]
        usual = schema.get("default")
        values = [*listed, *([usual] if usual is not None and usual not in listed else [])]
        if not values:
            return []
        judge = self._document.validator.evolve(schema=schema)
        return [value for value in values if judge.is_valid(value)]

    def _resolved(self, schema: Any) -> JsonObject:
        resolved = resolve(schema, self._tool.parameters, self._choose)
        if resolved.get("not") == {}:
            raise CannotSample("a schema that allows no value")
        return resolved

    def _pool(self, name: str) -> Pool:
        return self._pools.get(name, Pool())
