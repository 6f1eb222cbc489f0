"""Dataclasses as JSON and back, checked field by field: what the two sides of an engine program say
to each other.

Standard library only: both sides import it, each in an environment of its own.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from agent_assets.errors import EngineFailed

T = TypeVar("T")
_NEXT = (
    "run `agent-assets setup`: the engine environment and this version do not belong together; "
    "else "
    "report it as a defect."
)


def encode(value: object) -> dict[str, object]:
    """A dataclass as JSON: paths become text, nested dataclasses become objects."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is not a dataclass")
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def decode(kind: type[T], value: object, *, program: str) -> T:
    """The dataclass `kind` from JSON.

    Supported are the types that JSON has, `Path`, `Literal`, unions, lists, tuples of one type,
    dictionaries with text as keys, and dataclasses of these. A whole number is taken where a
    fraction is expected, nothing else is converted.

    Args:
        kind: class to make.
        value: what was read.
        program: name of the engine program, for the error.

    Raises:
        EngineFailed: a field is missing, unknown, or of another type; the error names it.
    """
    try:
        decoded = _read(kind, value, "")
    except _Mismatch as mismatch:
        raise EngineFailed(f"{program}: {kind.__name__}{mismatch}.", next_step=_NEXT) from None
    assert isinstance(decoded, kind)
    return decoded


def decode_text(kind: type[T], text: str, *, program: str) -> T:
    """`decode` of JSON text."""
    return decode(kind, json.loads(text), program=program)


class _Mismatch(Exception):
    """Where a value differs from its type, and how: ` has no rows`, `.parity is text`."""


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value):
        return encode(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


@cache
def _hints(kind: type) -> Mapping[str, object]:
    return get_type_hints(kind)


def _read(expected: object, value: object, place: str) -> object:
    """`value` as `expected`; `place` is where it stands, for the error."""
    origin, arguments = get_origin(expected), get_args(expected)
    if expected is object:
        return value
    if origin in (Union, types.UnionType):
        return _read_union(arguments, value, place)
    if isinstance(expected, type) and is_dataclass(expected):
        return _read_dataclass(expected, value, place)
    if origin in (list, tuple) and isinstance(value, list):
        entries = [
            _read(arguments[0], entry, f"{place}[{number}]") for number, entry in enumerate(value)
        ]
        return tuple(entries) if origin is tuple else entries
    if origin is dict and isinstance(value, dict):
        return {
            name: _read(arguments[1], entry, f"{place}.{name}") for name, entry in value.items()
        }
    return _read_scalar(expected, value, place)


def _read_union(kinds: tuple[object, ...], value: object, place: str) -> object:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others[:-1]:
        try:
            return _read(kind, value, place)
        except _Mismatch:
            continue
    return _read(others[-1], value, place)


def _read_dataclass(kind: type, value: object, place: str) -> object:
    if not isinstance(value, dict):
        raise _Mismatch(f"{place} is {_name(value)}, not an object")
    hints, known = _hints(kind), {field.name: field for field in fields(kind)}
    unknown = sorted(value.keys() - known.keys())
    if unknown:
        raise _Mismatch(f"{place} has an unknown field '{unknown[0]}'")
    arguments = {}
    for name, field in known.items():
        if name in value:
            arguments[name] = _read(hints[name], value[name], f"{place}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise _Mismatch(f"{place} has no field '{name}'")
    return kind(**arguments)


def _read_scalar(expected: object, value: object, place: str) -> object:
    if get_origin(expected) is Literal:
        if value not in get_args(expected):
            raise _Mismatch(
                f"{place} is {value!r}, not one of {', '.join(map(repr, get_args(expected)))}"
            )
        return value
    if expected is Path and isinstance(value, str):
        return Path(value)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    matches = isinstance(expected, type) and isinstance(value, expected)
    if not matches or (isinstance(value, bool) and expected is not bool):
        raise _Mismatch(f"{place} is {_name(value)}, not {getattr(expected, '__name__', expected)}")
    return value


def _name(value: object) -> str:
    return "missing" if value is None else type(value).__name__
