"""What has to be known about a language: rules that read text, and phrases that are said.

A language is named by its ISO 639 code. Its rules are the module of that name in
`agent_assets/text/languages`; a language without one has `GenericRules`. To add a language, see
"Add a language" in docs/training-data.md.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from agent_assets.text import languages
from agent_assets.text.dates import DateNotation
from agent_assets.text.numbers import NumberNotation

LanguageCode = str
LANGUAGE_CODE = r"^[a-z]{2,3}$"  # what a configuration may call a language
UNKNOWN_LANGUAGE: LanguageCode = "und"  # ISO 639-2 for "undetermined"
_LONGEST_CODE = 3  # a module with a longer name in that folder is not a language


@dataclass(frozen=True)
class Phrases:
    """What is said where no wordings file says it.

    Args:
        language: the language these phrases are in: of a language without phrases of its own,
            another one.
        elder: a name for an elder who has none.
        told_by: what comes before the words of somebody else, by relationship.
        no_yes: the values of a boolean.
        comma: between the items of a list.
        last_comma: before its last item.
        argument_comma: between the arguments in a question.
        result: an answer, with the slot `{result}`.
        no_result: the answer to an empty result.
        cannot: the answer to what no tool can answer.
        task: a question with the slot `{task}` alone.
        requests: questions with the slots `{task}` and `{arguments}`.
        bare_requests: questions with the slot `{task}`.
        system_prompt: of an elder, with the slots `{name}` and `{traits}`.
        traits: a sentence by the name of a trait, with one slot.
        sentence_space: between two sentences.
        teacher: what a language model that teaches is told, with the slot `{language}`.
        persona: what it is told besides when it speaks as an elder.
    """

    language: LanguageCode
    elder: str
    told_by: Mapping[str, str]
    no_yes: tuple[str, str]
    comma: str
    last_comma: str
    argument_comma: str
    result: str
    no_result: str
    cannot: str
    task: str
    requests: tuple[str, ...]
    bare_requests: tuple[str, ...]
    system_prompt: str
    traits: Mapping[str, str]
    sentence_space: str
    teacher: str
    persona: str


class LanguageRules(Protocol):
    """How text of one language is read.

    What reads content is given texts in NFKC and lower case; what cuts texts is given them with
    single spaces.
    """

    @property
    def code(self) -> LanguageCode:
        """ISO 639."""

    @property
    def name(self) -> str:
        """As a language model is told which language to write."""

    @property
    def aliases(self) -> Collection[str]:
        """What databases call it besides its code, in lower case."""

    @property
    def also_read(self) -> tuple[LanguageCode, ...]:
        """Languages that its speakers mix in: text is read by their rules, too."""

    @property
    def phrases(self) -> Phrases:
        """What is said where no wordings file says it."""

    @property
    def stop_words(self) -> Collection[str]:
        """Words without content, by which the language is also known; none where nobody listed
        them.
        """

    @property
    def never_told(self) -> Sequence[re.Pattern[str]]:
        """How a reply says that something was never told; empty where nobody listed it, and so
        cannot be known.
        """

    @property
    def number_notations(self) -> tuple[NumberNotation, ...]:
        """How numbers are written. Where there are several, a numeral may have several readings."""

    @property
    def date_notations(self) -> tuple[DateNotation, ...]:
        """How days are written besides numerically."""

    def may_be(self, text: str) -> bool:
        """Whether a short text may be in this language, by its script."""

    def content(self, text: str) -> set[str]:
        """What carries content, numbers left out: two texts that share it say the same."""

    def search_terms(self, text: str) -> list[str]:
        """What a search compares, as often as it occurs; of a text without accents, in lower
        case.
        """

    @property
    def light_terms(self) -> Collection[str]:
        """Search terms that many questions share: they help to rank, and hardly count as having
        been told.
        """

    def sentences(self, text: str) -> list[str]:
        """The sentences, each without the space around it."""

    def clauses(self, text: str) -> list[str]:
        """The parts of sentences, each without the space around it."""

    def length(self, text: str) -> float:
        """Words, or what takes as much room."""

    def cut(self, text: str, max_words: int) -> str:
        """The start of one sentence, cut between two words; at most `max_words` long."""

    def unknown_names(self, text: str, sources: str) -> set[str]:
        """Names and quotations in a text that appear nowhere in the sources; none where names
        cannot be told.
        """

    def people(self, texts: Sequence[str]) -> set[str]:
        """Names that texts introduce by a title or a relation."""


@lru_cache(maxsize=1)
def known_languages() -> tuple[LanguageCode, ...]:
    """Languages with a module of their own, sorted by code."""
    names = (module.name for module in iter_modules(languages.__path__))
    return tuple(sorted(name for name in names if len(name) <= _LONGEST_CODE))


@lru_cache(maxsize=256)
def rules_for(code: LanguageCode) -> LanguageRules:
    """The rules of a language; generic ones where it has no module."""
    if code not in known_languages():
        # By name: those rules import this module.
        generic: LanguageRules = import_module(f"{languages.__name__}.generic").GenericRules(code)
        return generic
    rules: LanguageRules = import_module(f"{languages.__name__}.{code}").RULES
    return rules


@lru_cache(maxsize=256)
def readers(code: LanguageCode) -> tuple[LanguageRules, ...]:
    """By whose rules a text of a language is read: its own, then those of the languages it mixes
    in.
    """
    own = rules_for(code)
    return own, *map(rules_for, own.also_read)


@lru_cache(maxsize=1)
def code_by_alias() -> dict[str, LanguageCode]:
    """Codes by what databases call languages, in lower case; of languages with a module."""
    return {alias: code for code in known_languages() for alias in (code, *rules_for(code).aliases)}


def phrases_are_its_own(code: LanguageCode) -> bool:
    """Whether what is said in a language without wordings is said in it, or in another one."""
    return rules_for(code).phrases.language == code
