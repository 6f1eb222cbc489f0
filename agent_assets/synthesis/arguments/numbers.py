"""Numbers as a person would ask for them, within what a schema allows."""

import math
from fractions import Fraction
from random import Random

from agent_assets.conversations.messages import JsonObject
from agent_assets.synthesis.arguments.pool import CannotSample

# Bounds from here on tell what a machine can hold, not what somebody asks for: those of a signed
# 32-bit number, of an integer in JavaScript, and the like.
_NO_BOUND = 2**31 - 1
MOST_STEPS = 10_000  # in a wider range a number is taken from its near end
_NEAR = 100  # steps
_ATTEMPTS = 20


def sample_number(schema: JsonObject, kind: str, rng: Random) -> int | float:
    """A number of a resolved schema.

    Raises:
        CannotSample: there is none between its limits.
    """
    multiple = schema.get("multipleOf")
    for step in _steps(kind, multiple):
        first, last = _range(schema, step)
        if first <= last:
            break
    else:
        raise CannotSample("a number with no value between its limits")
    if last - first > MOST_STEPS:
        first = max(first, min(last - _NEAR, 1))
        last = min(last, first + _NEAR)
    for _ in range(_ATTEMPTS):
        number = rng.randint(first, last) * step
        written = int(number) if kind == "integer" else float(number)
        # Binary fractions: 0.3 is no multiple of 0.1 for a validator that divides.
        if multiple is None or (written / multiple).is_integer():
            break
    return written


def _range(schema: JsonObject, step: Fraction) -> tuple[int, int]:
    """The first and the last number of steps that lie within the limits."""
    low, after_low = _limit(schema, "minimum", "exclusiveMinimum")
    high, before_high = _limit(schema, "maximum", "exclusiveMaximum")
    if low is None:
        low = Fraction(1) if high is None else min(Fraction(1), high - _NEAR * step)
    if high is None:
        high = low + _NEAR * step
    first, last = math.ceil(low / step), math.floor(high / step)
    return first + (after_low and first * step == low), last - (before_high and last * step == high)


def _steps(kind: str, multiple: int | float | None) -> list[Fraction]:
    """Distances between numbers to try, the roundest first."""
    if multiple is not None:
        step = Fraction(str(multiple))
        return [Fraction(step.numerator) if kind == "integer" else step]
    if kind == "integer":
        return [Fraction(1)]
    return [Fraction(1, parts) for parts in (2, 10, 100, 10_000, 10**6, 10**9)]


def _limit(schema: JsonObject, key: str, exclusive_key: str) -> tuple[Fraction | None, bool]:
    """A bound as an exact number, None for none that a person would feel; and whether the bound
    itself is excluded.
    """
    inclusive, exclusive = schema.get(key), schema.get(exclusive_key)
    if isinstance(exclusive, bool):  # draft 4: a flag of the other bound
        bounds = [(inclusive, exclusive)]
    else:
        bounds = [(inclusive, False), (exclusive, True)]
    felt = [
        (Fraction(str(bound)), excluded)
        for bound, excluded in bounds
        if bound is not None and abs(bound) < _NO_BOUND
    ]
    if not felt:
        return None, False
    return max(felt) if key == "minimum" else min(felt, key=lambda bound: (bound[0], -bound[1]))
