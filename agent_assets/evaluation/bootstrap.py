"""Paired bootstrap: is one variant better than another on these items, or is it luck of the draw?

Both variants answered the same items, so items are resampled, with replacement, together with both
of their scores; the interval is the 2.5th to 97.5th percentile of the mean difference. Efron,
"Bootstrap methods: another look at the jackknife" (1979); for comparing two variants on one test
set: Koehn, "Statistical significance tests for machine translation evaluation" (EMNLP 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """A mean (of differences, or a share) over the items, and the ends of its 95% interval."""

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
        first: score of each item under the reference variant, shape (items,).
        second: scores of the same items, in the same order, under the other variant.
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


def wilson_interval(right: float, items: int) -> Interval:
    """A share of items and its 95% interval; it says something of 0 of 20 and 20 of 20, too.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    Args:
        right: how many were right; a sum of scores between 0 and 1 may have a fraction.
        items: of how many, at least 1.

    Raises:
        ValueError: there are no items.
    """
    if items < 1:
        raise ValueError("a share of no items has no interval")
    z = NormalDist().inv_cdf(0.975)
    share, weight = right / items, z * z / items
    centre = (share + weight / 2) / (1 + weight)
    reach = z * sqrt(share * (1 - share) / items + weight / (4 * items)) / (1 + weight)
    return Interval(share, max(0.0, centre - reach), min(1.0, centre + reach))
