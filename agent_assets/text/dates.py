"""Days and years in a text, as ISO dates and numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_YEAR = re.compile(r"(?<![0-9])(?:1[0-9]{3}|20[0-9]{2})(?![0-9])")


@dataclass(frozen=True)
class DateNotation:
    """How days are written.

    Args:
        pattern: with the groups `year`, `month` and `day`, matched in lower case.
        months: number by name of the month; empty where the month is a number.
    """

    pattern: re.Pattern[str]
    months: Mapping[str, int] = field(default_factory=dict)

    def iso(self, match: re.Match[str]) -> str:
        """The day of a match as YYYY-MM-DD."""
        month = self.months[match["month"]] if self.months else int(match["month"])
        return f"{int(match['year']):04d}-{month:02d}-{int(match['day']):02d}"


# ISO and its kin, and Chinese or Japanese: read whatever the language.
NUMERIC = DateNotation(
    re.compile(
        r"(?P<year>\d{4})(?:[-/.]|\s*年\s*)(?P<month>\d{1,2})(?:[-/.]|\s*月\s*)(?P<day>\d{1,2})"
    )
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def is_iso_date(text: str) -> bool:
    """Whether a whole text is written as YYYY-MM-DD."""
    return _ISO.fullmatch(text) is not None


def dates(text: str, notations: Sequence[DateNotation]) -> set[str]:
    """Every day that a text in lower case names, as ISO dates."""
    return {
        notation.iso(match)
        for notation in (NUMERIC, *notations)
        for match in notation.pattern.finditer(text)
    }


def replace_dates(text: str, notations: Sequence[DateNotation]) -> str:
    """A text in lower case with every day that it names in ISO notation."""
    for notation in (NUMERIC, *notations):
        text = notation.pattern.sub(notation.iso, text)
    return text


def without_months_and_days(text: str) -> str:
    """A text whose numeric days are years alone: 2025-04-22 does not state a 4."""
    return NUMERIC.pattern.sub(r" \g<year> ", text)


def month_numbers(names: Sequence[str], *, short: int) -> dict[str, int]:
    """Number by name of the twelve months, written in full or by their first `short` letters."""
    return {
        spelled: number
        for number, name in enumerate(names, start=1)
        for spelled in (name, name[:short])
    }


def years(text: str) -> list[int]:
    """Years from 1000 to 2099 in a text, in order."""
    return [int(year) for year in _YEAR.findall(text)]
