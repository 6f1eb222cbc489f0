"""How many items it takes to notice that an agent got worse.

The gate notices a fall when more items are lost than its margin lets go. With `items` items and a
true fall of `fall`, the number of lost items is binomial; the power is the chance that it exceeds
`margin * items`. Items that are gained at the same time hide losses: the power is that of the best
case, where none are. A handful of items cannot show a fall of their margin (a coin decides whether
one item is lost), so the fall to be noticed is a multiple of it.
"""

from dataclasses import dataclass
from math import comb, floor

_MOST_ITEMS = 5_000  # a claim that takes more items than this cannot be met by asking more


@dataclass(frozen=True)
class Power:
    """What so many items can show.

    Args:
        items: how many there are.
        fall: the true fall to be noticed, 0 to 1.
        power: chance of noticing it, 0 to 1.
        needed: items with which that chance is as large as was asked for, at least `items` where
            it is already; None where no number of items is enough.
    """

    items: int
    fall: float
    power: float
    needed: int | None

    @property
    def missing(self) -> int | None:
        """How many more items it takes; None where no number is enough."""
        return None if self.needed is None else self.needed - self.items


def power_of(items: int, *, margin: float, fall: float, target: float) -> Power:
    """The power of `items` items, and how many are needed for a power of `target`.

    Args:
        items: number of items, at least 0.
        margin: the most that the share of right items may fall.
        fall: the true fall that is to be noticed; not above `margin` it never can be.
        target: the chance of noticing it that is asked for.
    """
    power = _chance(items, margin, fall)
    enough = (
        number
        for number in range(items, _MOST_ITEMS)
        if _chance(number, margin, fall) >= target - 1e-9
    )
    needed = next(enough, None) if fall > margin else None
    return Power(items, fall, power, needed)


def _chance(items: int, margin: float, fall: float) -> float:
    """Probability that more than `margin * items` of them are lost."""
    allowed = floor(margin * items + 1e-9)
    stays = sum(
        comb(items, lost) * fall**lost * (1 - fall) ** (items - lost) for lost in range(allowed + 1)
    )
    return 1 - stays
