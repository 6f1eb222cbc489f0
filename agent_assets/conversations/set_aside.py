"""What was left out because it could not be used: how much by reason, and the first by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_NAMES = 20
_MAX_NAME_CHARS = 80


@dataclass
class SetAside:
    """How many things were left out, and the names of the first `MAX_NAMES`."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str, count: int = 1) -> None:
        """Count a thing (or `count` things of one name); a name is shown as text of one line."""
        self.count += count
        if len(self.names) < MAX_NAMES:
            self.names.append(shown_name(name))


def shown_name(name: str) -> str:
    """A name as ASCII escapes write it where it is not printable, cut after 80 characters."""
    text = name if name.isprintable() and name.strip() else ascii(name)
    return text if len(text) <= _MAX_NAME_CHARS else f"{text[: _MAX_NAME_CHARS - 1]}…"


def set_aside_lines(by_reason: Mapping[str, SetAside], most: int = 5) -> list[str]:
    """A line per reason: the count, the reason, and the first names."""
    return [
        f"{entry.count} {reason}: {_some(entry.names[:most], entry.count)}"
        for reason, entry in by_reason.items()
        if entry.count
    ]


def _some(names: Iterable[str], count: int) -> str:
    names = list(names)
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
