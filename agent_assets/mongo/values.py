"""Ids and times as the drivers and programs of this world store them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

_REFERENCES = 4  # levels: a populated document may hold a reference
_JAVASCRIPT_ZONE = re.compile(r"\b(?:GMT|UTC)(?=[+-]\d)|\s*\(.*\)\s*$")
_DAY_OR_MONTH = re.compile(r"\s*(\d{1,2})[/.-](\d{1,2})[/.-]\d{2,4}\b")
# What a number counts, since 1970: told by its size, of times between 1973 and 2100.
_UNITS_PER_SECOND = (1, 10**3, 10**6, 10**9)
_FIRST_SECOND, _LAST_SECOND = 10**8, 4_102_444_800


def dig(document: Mapping[str, object], path: str | None) -> Any:
    """The value at a dotted path, None where there is none."""
    if not path:
        return None
    if "." not in path:  # nearly always, and this runs for every field of every answer
        return document.get(path)
    value: object = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def id_text(value: object) -> str:
    """An id of any type as text, "" for None: answers and questions may store the same id in
    different types.
    """
    text = "" if value is None else str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def loose_id_text(value: object) -> str:
    """The same text for what people take for the same id: 5 and 5.0, a UUID and its text, hex
    digits in capitals, space around.
    """
    if isinstance(value, float | Decimal128):
        number = _finite(value)
        whole = number is not None and -(10**15) < number < 10**15 and number == int(number)
        return str(int(number)) if number is not None and whole else id_text(value)
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(value.as_uuid())
    text = id_text(value).strip()
    return text.lower() if ObjectId.is_valid(text) or _is_uuid(text) else text


def referenced_id(value: object, id_path: str = "_id") -> object:
    """The id in a reference: a DBRef, a populated document, extended JSON (`{"$oid": ..}`), or a
    list of one of them. Any other value is returned as it is; None is a reference without an id.
    """
    for _ in range(_REFERENCES):
        if isinstance(value, DBRef):
            value = value.id
        elif isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif isinstance(value, Mapping):
            if "$id" in value:
                value = value["$id"]
            elif _is_extended_json(value):
                value = _plain(value)
            else:
                inner = dig(value, id_path)
                value = value.get("_id") if inner is None else inner
        else:
            break
    return value


def utc_text(value: object) -> str:
    """A time as ISO 8601 in UTC with milliseconds; "" for what is no time. Text without a zone is
    taken as UTC.
    """
    moment = value if isinstance(value, datetime) else as_time(value)
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:  # the first day of the year 1 in a zone east of Greenwich
        return ""


def as_time(value: object) -> datetime | None:
    """The time in a date, a Timestamp, a number since 1970, or a text of one of them, as JavaScript
    and others write it; None for what is no time.

    A text that may name two days (`5/1/2024`) is none.
    """
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return _time_of_text(value)
    if isinstance(value, Timestamp):
        return datetime.fromtimestamp(value.time, UTC)
    if isinstance(value, Mapping) and _is_extended_json(value):
        plain = _plain(value)
        return None if isinstance(plain, Mapping) else as_time(plain)
    if isinstance(value, int | float | Decimal128) and not isinstance(value, bool):
        number = _finite(value)
        return None if number is None else _time_of_number(number)
    return None


def _time_of_text(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if len(text) > 100 or not any(character.isdigit() for character in text):
        return None
    if text.strip().isdecimal():
        return _time_of_number(int(text))
    day_or_month = _DAY_OR_MONTH.match(text)
    if day_or_month and max(map(int, day_or_month.groups())) <= 12:
        return None
    from dateutil.parser import ParserError, parse

    text = _JAVASCRIPT_ZONE.sub("", text)
    try:
        # What a text leaves out comes from the default: two that differ show whether it names a
        # day.
        first, second = (
            parse(text, default=default, tzinfos=_offset)
            for default in (datetime(2000, 1, 1), datetime(2001, 2, 3))  # noqa: DTZ001
        )
    except (ParserError, OverflowError, ValueError):
        return None
    return first if first == second else None


def _offset(_name: str | None, offset: int | None) -> int:
    return offset or 0  # "CST" is the time of Chicago and of Shanghai


def _time_of_number(number: float | Decimal) -> datetime | None:
    for units in _UNITS_PER_SECOND:
        if _FIRST_SECOND * units <= number < _LAST_SECOND * units:
            return datetime.fromtimestamp(float(number / units), UTC)
    return None


def _finite(value: float | Decimal128) -> float | Decimal | None:
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    finite = number.is_finite() if isinstance(number, Decimal) else isfinite(number)
    return number if finite else None


def _is_extended_json(value: Mapping[str, object]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


def _plain(value: Mapping[str, object]) -> object:
    try:
        return json_util.loads(json_util.dumps(value))
    except (BSONError, ValueError, TypeError, OverflowError):
        return None


def _is_uuid(text: str) -> bool:
    return re.fullmatch(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text) is not None
