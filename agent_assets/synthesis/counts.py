"""How often things occur, as summaries have it."""

from collections import Counter
from collections.abc import Iterable


def count(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, sorted by value."""
    return dict(sorted(Counter(map(str, values)).items()))
