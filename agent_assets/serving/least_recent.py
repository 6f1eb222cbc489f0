"""What is kept between requests, by name: who uses it is counted, and what nobody has used for
longest is the first to go.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Kept(Generic[T]):
    """A thing, and how many requests use it now."""

    value: T
    in_flight: int = 0


class LeastRecent(Generic[T]):
    """Use it from one event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def items(self) -> list[tuple[str, Kept[T]]]:
        """All names and what is kept under them, the one used longest ago first."""
        return list(self._kept.items())

    def idle(self) -> list[tuple[str, Kept[T]]]:
        """Those that nobody uses, the one used longest ago first."""
        return [(name, kept) for name, kept in self._kept.items() if kept.in_flight == 0]

    def take(self, name: str) -> Kept[T] | None:
        """What is kept under a name, with this request in flight; None where there is nothing."""
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            kept.in_flight += 1
        return kept

    def put(self, name: str, value: T) -> Kept[T]:
        """Keep a thing, with this request in flight."""
        kept = self._kept[name] = Kept(value, in_flight=1)
        return kept

    def remove(self, name: str, kept: Kept[T]) -> None:
        """Forget a thing, unless another has taken its place."""
        if self._kept.get(name) is kept:
            del self._kept[name]
