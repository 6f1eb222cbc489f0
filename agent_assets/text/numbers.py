"""The one recogniser of numbers: numerals in a text, and what they are worth.

Digits of every script count (`١٩٣١` is 1931). Notations differ in the sign before a fraction and in
those between groups of three digits, so that a numeral has as many readings as there are notations
that fit all of it: `1.234` is 1.234 in English, 1234 in German, and either where the language does
not say.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_ARABIC_SIGNS = str.maketrans("٫٬", ".,")
_DIGIT = re.compile(r"\d")
_PLAIN = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class NumberNotation:
    """How numbers are written.

    Args:
        group: the signs that may be between groups of three digits.
        fraction: the sign before a fraction.
    """

    group: str
    fraction: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """One numeral without its sign."""
        group, fraction = re.escape(self.group), re.escape(self.fraction)
        after = rf"(?:{fraction}\d+)?"
        # The first sign between groups is that between all of them: 1 234.567 is not a numeral with
        # two kinds.
        return re.compile(
            rf"\d{{1,3}}(?:(?P<group>[{group}])\d{{3}}(?:(?P=group)\d{{3}})*)(?!\d){after}|\d+{after}"
        )

    def value(self, numeral: str) -> Decimal | None:
        """What a numeral of this notation is worth; None for another text."""
        match = self.pattern.fullmatch(numeral)
        if match is None:
            return None
        digits = numeral.replace(match["group"], "") if match["group"] else numeral
        return Decimal(digits.replace(self.fraction, "."))


POINT = NumberNotation(",", ".")  # 1,234.5: English, Chinese
COMMA = NumberNotation(". \u00a0\u202f'", ",")  # 1.234,5 and 1 234,5: most of Europe


@dataclass(frozen=True)
class Numeral:
    """A number as it appears in a text: where, and what it may be worth without its sign."""

    start: int
    end: int
    readings: frozenset[Decimal]


def numerals(text: str, notations: Sequence[NumberNotation]) -> Iterator[Numeral]:
    """The numerals of a text, from the left, each as long as any notation takes it."""
    position = 0
    while first := _DIGIT.search(text, position):
        matches = [
            match
            for notation in notations
            if (match := notation.pattern.match(text, first.start()))
        ]
        position = max(match.end() for match in matches)
        numeral = text[first.start() : position]
        values = (notation.value(ascii_digits(numeral)) for notation in notations)
        yield Numeral(
            first.start(), position, frozenset(value for value in values if value is not None)
        )


def magnitudes(text: str, notations: Sequence[NumberNotation]) -> list[frozenset[Decimal]]:
    """The readings of every numeral, signs left out: a hyphen before a number is no minus more
    often than it is.
    """
    return [numeral.readings for numeral in numerals(text, notations)]


def signed_values(text: str, notations: Sequence[NumberNotation]) -> set[Decimal]:
    """Every value that a text may state. A minus counts where no word, point or hyphen stands
    before it.
    """
    return {
        -value if _is_minus(text, numeral.start - 1) else value
        for numeral in numerals(text, notations)
        for value in numeral.readings
    }


def plain_number(text: str) -> Decimal | None:
    """What a whole text is worth that is nothing but a number as programs write it; None for
    another text.
    """
    value = POINT.value(text.removeprefix("-"))
    return -value if value is not None and text.startswith("-") else value


def ungrouped(text: str, notations: Sequence[NumberNotation]) -> str:
    """A text without the signs between groups of digits, where they can be nothing else."""
    pieces, position = [], 0
    for numeral in numerals(text, notations):
        digits = text[numeral.start : numeral.end]
        groups = {
            match["group"]
            for notation in notations
            if (match := notation.pattern.fullmatch(digits))
        }
        pieces += [text[position : numeral.start], digits]
        if len(groups) == 1 and (group := groups.pop()):
            pieces[-1] = digits.replace(group, "")
        position = numeral.end
    return "".join([*pieces, text[position:]])


def written_numbers(text: str) -> list[str]:
    """Every number as it is written, without groups: for texts that hold lists of numbers, such as
    JSON.
    """
    return _PLAIN.findall(ascii_digits(text))


def ascii_digits(text: str) -> str:
    """A text with the digits and number signs of every script as ASCII has them."""
    if text.isascii():
        return text
    return _FOREIGN_DIGIT.sub(
        lambda digit: str(unicodedata.digit(digit[0])), text.translate(_ARABIC_SIGNS)
    )


def _is_minus(text: str, place: int) -> bool:
    if place < 0 or text[place] != "-":
        return False
    before = text[place - 1 : place]
    return not (before in {".", "-"} or before == "_" or before.isalnum())
