"""What can be said of a parameter beside its schema, and the word for one that has no value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any


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
    """A required part of a schema has no value that can be made here. Always handled: the tool is
    named uncoverable.
    """
