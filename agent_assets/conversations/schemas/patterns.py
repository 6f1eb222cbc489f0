"""Regular expressions of JSON Schemas: those of ECMA-262, as JavaScript reads them.

Some servers write expressions of Python instead (`(?i)`, `(?P<year>..)`, `\\Z`): what JavaScript
does not take is tried as one of Python.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from regress import Regex, RegressError

# With `u`, as the specification recommends; without it, for escapes that it forbids (`\_`).
_FLAGS = ("u", "")


def matches(pattern: str, text: str) -> bool:
    """Whether an expression is found in a text.

    Raises:
        ValueError: it is no regular expression.
    """
    return _search(pattern)(text)


def is_pattern(pattern: str) -> bool:
    """Whether a text is a regular expression."""
    try:
        _search(pattern)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _search(pattern: str) -> Callable[[str], bool]:
    for flags in _FLAGS:
        try:
            expression = Regex(pattern, flags)
        except RegressError:
            continue
        return lambda text: expression.find(text) is not None
    try:
        python_expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return lambda text: python_expression.search(text) is not None
