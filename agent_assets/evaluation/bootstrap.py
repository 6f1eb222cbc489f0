"""Paired bootstrap: is one system better than another on these items, or is it luck of the draw?

Both systems answered the same items, so items are resampled, with replacement, together with both
of their scores; the interval is the 2.5th to 97.5th percentile of the mean difference. Efron,
"Bootstrap methods: another look at the jackknife" (1979); for comparing two systems on one test
set: Koehn, "Statistical significance tests for machine translation evaluation" (EMNLP 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Mean difference over the items, and the ends of its 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], *, seed: int, samples: int = 2000
) -> Interval | None:
    """Interval of the mean of `second - first`; None without items.

    Args:
        first: score of each item under the reference system, shape (items,).
        second: scores of the same items, in the same order, under the other system.
        seed: equal seeds give equal intervals.
        samples: number of resamples.

    Raises:
        ValueError: the two have different lengths.
    """
    import numpy as np

    if len(first) != len(second):
        raise ValueError(f"paired scores differ in number: {len(first)} and {len(second)}")
    if not first:
        return None
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(
        0, len(differences), size=(samples, len(differences))
    )
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return Interval(float(differences.mean()), float(low), float(high))
