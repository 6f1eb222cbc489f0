"""Every language without a module: the boundaries of Unicode (UAX 29), by ICU, with its
dictionaries for Thai, Japanese and other scripts without spaces.

What only a speaker of the language knows is unknown here, and said to be so: there are no stop
words, no names, and nobody knows how a reply says that something was never told. What is said is
said in English (`Phrases.language`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import Stemmer

from agent_assets.text.dates import DateNotation
from agent_assets.text.languages.en import PHRASES
from agent_assets.text.languages.rules import UNKNOWN_LANGUAGE, LanguageCode, Phrases
from agent_assets.text.numbers import COMMA, POINT, NumberNotation, ascii_digits
from agent_assets.text.quotations import unknown_quotations
from agent_assets.text.scripts import KHMER, LAO, MYANMAR, THAI

# In Thai and its neighbours a space comes between clauses.
_CLAUSE_END = re.compile(
    rf"(?<=[,;:])\s+|(?<=[，；：、،؛])\s*|(?<=[{THAI}{LAO}{MYANMAR}{KHMER}])\s+"
)
_CLAUSE_SIGNS = ",;:，；：、،؛"
_NUMERAL = re.compile(r"[\d.,٫٬]+")


class GenericRules:
    """Rules for a language of which only its code is known. A module of its own may start from
    them.
    """

    stop_words: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    light_terms: frozenset[str] = frozenset()
    also_read: tuple[LanguageCode, ...] = ()
    never_told: tuple[re.Pattern[str], ...] = ()
    number_notations: tuple[NumberNotation, ...] = (POINT, COMMA)
    date_notations: tuple[DateNotation, ...] = ()

    def __init__(self, code: LanguageCode) -> None:
        self.code = code

    @property
    def name(self) -> str:
        """In words that a language model follows."""
        return (
            "the language of the question"
            if self.code == UNKNOWN_LANGUAGE
            else f"the language {self.code!r} (ISO 639)"
        )

    @property
    def phrases(self) -> Phrases:
        """In English."""
        return PHRASES

    def may_be(self, text: str) -> bool:
        """Always: nothing is known that could speak against it."""
        return True

    def content(self, text: str) -> set[str]:
        """Words without numbers and stop words."""
        words = (text[start:end] for start, end in self._words(text))
        return {word for word in words if not _NUMERAL.fullmatch(word)} - self.stop_words

    def search_terms(self, text: str) -> list[str]:
        """Words and numbers without stop words; stems where Snowball knows the language."""
        words = (ascii_digits(text[start:end]) for start, end in self._words(text))
        kept = [word for word in words if word not in self.stop_words]
        return kept if self._stemmer is None else list(self._stemmer.stemWords(kept))

    def sentences(self, text: str) -> list[str]:
        """Sentences of Unicode; abbreviations that its locale data knows end none. Thai has no
        signs that end one.
        """
        from icu4py.breakers import SentenceBreaker

        return _stripped(SentenceBreaker(text, self._locale))

    def clauses(self, text: str) -> list[str]:
        """What comes between commas and the like of any script."""
        return [clause.rstrip(_CLAUSE_SIGNS) for clause in _stripped(_CLAUSE_END.split(text))]

    def length(self, text: str) -> float:
        """Words."""
        return sum(1 for _ in self._words(text))

    def cut(self, text: str, max_words: int) -> str:
        """The first words."""
        ends = [end for _, end in self._words(text)]
        return text if len(ends) <= max_words else text[: ends[max_words - 1]]

    def unknown_names(self, text: str, sources: str) -> set[str]:
        """Quotations alone: which capital letters mean a name differs from language to language."""
        return unknown_quotations(text, sources)

    def people(self, texts: Sequence[str]) -> set[str]:
        """Nobody: titles and relations are words of the language."""
        return set()

    @cached_property
    def _stemmer(self) -> Stemmer.Stemmer | None:
        try:
            return Stemmer.Stemmer(self.code)
        except KeyError:  # Snowball has no rules for it
            return None

    @cached_property
    def _locale(self) -> str:
        # with the abbreviations of the locale, where there are any
        return f"{self.code}-u-ss-standard"

    def _words(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of what holds a letter or a digit."""
        from icu4py.breakers import WordBreaker

        position = 0
        # its `segments` counts UTF-16 units, not characters
        for piece in WordBreaker(text, self.code):
            end = position + len(piece)
            if any(map(str.isalnum, piece)):
                yield position, end
            position = end


def _stripped(parts: Iterable[str]) -> list[str]:
    return [bare for part in parts if (bare := part.strip())]
