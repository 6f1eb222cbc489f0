"""A JSON Schema with its references, and a validator that is compiled once.

Nothing is ever fetched: what a reference names lies in the schema itself, or is one of the
specifications.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.schemas.drafts import (
    children,
    draft_of,
    meta_validator,
    subschemas,
    validator_class,
)
from agent_assets.conversations.strict_tools import required_names

MAX_DEPTH = 64  # of JSON in JSON; what is nested deeper ends in a RecursionError somewhere
_MAX_MESSAGE = 300
# Keywords whose schemas judge the value that the schema with the keyword judges.
_IN_PLACE = ("if", "then", "else", "not")
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_REFERENCES_ALONE = frozenset({"4", "6", "7"})  # drafts
_PLAIN_ID = frozenset({"3", "4"})  # drafts


class SchemaDocument:
    """A schema as its draft defines it.

    Args:
        root: the schema, which must not change afterwards.
    """

    def __init__(self, root: JsonObject) -> None:
        self.root = root
        self.draft = draft_of(root)
        self._class = validator_class(self.draft)
        meta: Mapping[str, Any] = self._class.META_SCHEMA
        self._specification = specification_with(meta["$schema"])
        resource = self._specification.create_resource(root)
        named = isinstance(root.get("id" if self.draft in _PLAIN_ID else "$id"), str)
        base = (resource.id() if named else None) or ""
        self._resolver = REGISTRY.with_resource(base, resource).resolver(base)

    def referenced(self, reference: str) -> Any:
        """What a `$ref` such as `#/$defs/Day` points at; None for nothing, and for what lies
        elsewhere.
        """
        try:
            return self._resolver.lookup(reference).contents
        except (Unresolvable, ValueError, TypeError):  # a step into a list, or into a value
            return None

    @cached_property
    def validator(self) -> Validator:
        """Judges values by the schema."""
        return self.validator_of(self.root)

    def validator_of(self, schema: JsonObject) -> Validator:
        """Judges values by another schema that is read as this one is."""
        # Where `$schema` stands, the library goes back to its own class of that draft.
        plain = {key: value for key, value in schema.items() if key != "$schema"}
        return self._class(plain, registry=REGISTRY, format_checker=self._class.FORMAT_CHECKER)

    @cached_property
    def call_validator(self) -> Validator:
        """Judges the arguments of calls: names that the schema does not know are wrong, also where
        it forgot to forbid them.
        """
        parts = self._argument_parts
        open_to_others = any(
            part.keys() & {"additionalProperties", "unevaluatedProperties"} for part in parts
        ) or any("patternProperties" in part for part in parts[1:])
        if open_to_others:
            return self.validator
        closed = {"additionalProperties": False, **self.root}
        closed["properties"] = {name: {} for name in self.arguments} | self.root.get(
            "properties", {}
        )
        if self.draft in _REFERENCES_ALONE and "$ref" in closed:
            # These pass over everything that stands beside a reference.
            closed["allOf"] = [*closed.get("allOf", ()), {"$ref": closed.pop("$ref")}]
        return self.validator_of(closed)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The schemas of all arguments by name, wherever the schema speaks of them: beside the
        properties these are branches, references, and names that are only required.
        """
        schemas: dict[str, Any] = {}
        for part in self._argument_parts:
            for name, schema in part.get("properties", {}).items():
                schemas.setdefault(name, schema)
        for part in self._argument_parts:
            for name in required_names(part):
                schemas.setdefault(name, {})
        return schemas

    @cached_property
    def required(self) -> frozenset[str]:
        """Names of the arguments that every call has."""
        names = {
            name
            for name, schema in self.arguments.items()
            if isinstance(schema, dict) and schema.get("required") is True  # draft 3
        }
        waiting: list[Any] = [self.root]
        seen: set[int] = set()
        while waiting:
            part = waiting.pop()
            if isinstance(part, dict) and id(part) not in seen:
                seen.add(id(part))
                names.update(required_names(part))
                waiting += part.get("allOf", ())
                if isinstance(part.get("$ref"), str):
                    waiting.append(self.referenced(part["$ref"]))
        return frozenset(names)

    @cached_property
    def _argument_parts(self) -> list[JsonObject]:
        """The root, and the schemas that judge the same value."""
        parts: list[JsonObject] = []
        waiting: list[Any] = [self.root]
        while waiting:
            part = waiting.pop(0)
            if isinstance(part, dict) and not any(part is known for known in parts):
                parts.append(part)
                waiting += self.in_place({key: part[key] for key in part if key != "not"})
        return parts

    def problems(self) -> list[str]:
        """What is wrong with the schema; empty when nothing is."""
        problem = self._not_a_schema(self.root)
        return [problem] if problem else list(self._lost_references()) or list(self._circles())

    def _not_a_schema(self, schema: object) -> str | None:
        for error in meta_validator(self.draft).iter_errors(schema):  # type: ignore[arg-type]
            # Draft 4 wants one name at least; everybody writes a list of none.
            path = [str(part) for part in error.absolute_path]
            if path[-1:] == ["required"] and error.instance == []:
                continue
            where = "/".join(path) or "parameters"
            return f"not a JSON Schema at {where}: {error.message[:_MAX_MESSAGE]}"
        return None

    def _lost_references(self) -> Iterator[str]:
        waiting: list[tuple[Any, Any]] = [(self.root, self._resolver)]
        seen: set[int] = set()
        while waiting:
            schema, resolver = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            if schema is not self.root:  # one with an id of its own is a base of its own
                resolver = resolver.in_subresource(self._specification.create_resource(schema))
            waiting += [(inner, resolver) for inner in children(schema)]
            if "$ref" not in schema:
                continue
            reference = schema["$ref"]
            if not isinstance(reference, str):  # draft 4 does not say what it has to be
                yield f"$ref {reference!r} is no text"
                continue
            try:
                target = resolver.lookup(reference)
            except (Unresolvable, ValueError, TypeError):
                yield f"$ref {reference!r} has no target"
                continue
            if isinstance(target.contents, bool):
                continue
            if not isinstance(target.contents, dict) or self._not_a_schema(target.contents):
                yield f"$ref {reference!r} points at something that is no schema"
            waiting.append((target.contents, target.resolver))

    def _circles(self) -> Iterator[str]:
        """A schema that judges its value by itself never comes to an end."""
        graph: TopologicalSorter[int] = TopologicalSorter()
        waiting = list(subschemas(self.root))
        seen: set[int] = set()
        while waiting:
            schema = waiting.pop()
            if id(schema) in seen:
                continue
            seen.add(id(schema))
            inner = [part for part in self.in_place(schema) if isinstance(part, dict)]
            graph.add(id(schema), *map(id, inner))
            waiting += inner
        try:
            graph.prepare()
        except CycleError:
            yield "a $ref leads back to itself"

    def in_place(self, schema: JsonObject) -> list[Any]:
        """The schemas that judge the same value: what `$ref` points at, and all branches."""
        inner = [schema[key] for key in _IN_PLACE if key in schema]
        for key in _IN_PLACE_LISTS:
            inner += schema.get(key, ())
        for key in ("dependentSchemas", "dependencies"):
            inner += schema.get(key, {}).values()
        if isinstance(schema.get("$ref"), str):
            inner.append(self.referenced(schema["$ref"]))
        return inner


def document_of(schema: JsonObject) -> SchemaDocument:
    """The document of a schema, made once for each schema that is in use."""
    return _documents(_Same(schema))


class _Same:
    """A schema as a key: the same object, not an equal one, whose text would have to be compared
    at every call.
    """

    def __init__(self, schema: JsonObject) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.schema is self.schema


@lru_cache(maxsize=2048)
def _documents(key: _Same) -> SchemaDocument:
    return SchemaDocument(key.schema)
