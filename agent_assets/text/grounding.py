"""Does an answer say only what results, question and prompt say, and nothing else than they do?

Lexical and deterministic, by the rules of the language and of those it mixes in. Each rule looks at
what can be compared without understanding:

| rule | rejects | example |
|---|---|---|
| number | a number that appears nowhere, rounds none that does, and counts no list | 7.5 where results hold 4.12 |
| date | a day that appears nowhere, in whatever notation | 3 May 2025 |
| name | a quotation, or in English a capitalised word inside a sentence, that appears nowhere | in Lisbon |
| id | a memory id in brackets that no result holds | [m-999] |
| other value | beside a key of a result (a day, a place) the value of another key | the next day's price |
| denial | that nothing is known, where something was found | I cannot look it up. |

The first four are "not grounded", the last two are "contradicts". Sums, averages and other computed
values are not grounded: teachers are told to compute nothing. Denials are known only in languages
whose rules list how they are said. A clause is what comes between commas, semicolons, full stops
and line breaks; the rule on other values looks at clauses with exactly one number.
"""  # noqa: E501

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent_assets.text.answers import dates_in, says_never_told, with_iso_dates
from agent_assets.text.languages.rules import LanguageCode, readers, rules_for
from agent_assets.text.numbers import ascii_digits, magnitudes, ungrouped
from agent_assets.text.own_words import read_result, scalars

_CITED = re.compile(r"\[([A-Za-z0-9][\w.:-]*)\]")
_CLAUSE_ENDS = re.compile(r"[,;，；。、\n]|[.!?](?=\s|$)|[！？]")
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)")


@dataclass(frozen=True)
class Evidence:
    """What an answer may rest on.

    Args:
        results: texts of the tool results.
        others: question, system prompt, arguments of calls and whatever else was said before the
            answer.
        ids: memory ids that the results hold.
    """

    results: Sequence[str]
    others: Sequence[str] = ()
    ids: frozenset[str] = frozenset()


def not_grounded(answer: str, evidence: Evidence, language: LanguageCode) -> list[str]:
    """What the answer says that nothing says: kinds and counts, never the words themselves."""
    sources = normal("\n".join([*evidence.results, *evidence.others]), language)
    bare = _CITED.sub(" ", normal(answer, language))
    known = _values(sources, language)
    unknown = {readings for readings in _numbers(bare, language) if readings.isdisjoint(known)}
    counts = {
        "numbers": sum(
            not any(_is_known(value, known, evidence) for value in readings) for readings in unknown
        ),
        "dates": len(dates_in(bare, language) - dates_in(sources, language)),
        "names": len(
            set().union(*(rules.unknown_names(bare, sources) for rules in readers(language)))
        ),
        "ids": len(
            set(_CITED.findall(answer))
            - evidence.ids
            - _ids_in([*evidence.results, *evidence.others])
        ),
    }
    return [f"{count} {kind} stand in no result" for kind, count in counts.items() if count]


def contradictions(
    answer: str, evidence: Evidence, language: LanguageCode, *, may_deny: bool
) -> list[str]:
    """What the answer says against the results.

    Args:
        may_deny: the right answer is that nothing is known.
    """
    values = [read_result(result) for result in evidence.results]
    reasons = []
    denies = not may_deny and any(values) and says_never_told(answer, language)
    if denies and not says_never_told("\n".join(evidence.results), language):
        reasons.append("says that nothing is known, and a result is not empty")
    levels = [level for value in values for level in _levels(value) if len(level) > 1]
    wrong = sum(
        _is_other_value(clause, level, language)
        for clause in _clauses(answer, language)
        for level in levels
    )
    return [*reasons, f"{wrong} values of another key"] if wrong else reasons


def normal(text: str, language: LanguageCode) -> str:
    """NFKC with ASCII digits, without signs between groups of digits."""
    text = ascii_digits(unicodedata.normalize("NFKC", text)).replace("’", "'")
    return ungrouped(text, rules_for(language).number_notations)


def _numbers(text: str, language: LanguageCode) -> list[frozenset[Decimal]]:
    return magnitudes(text, rules_for(language).number_notations)


def _values(text: str, language: LanguageCode) -> set[Decimal]:
    return set().union(*_numbers(text, language))


def _is_known(number: Decimal, known: set[Decimal], evidence: Evidence) -> bool:
    """Whether a number that appears nowhere rounds one that does, or counts a list of a result."""
    exponent = number.as_tuple().exponent
    places = Decimal(1).scaleb(max(exponent, -12) if isinstance(exponent, int) else 0)
    fine = (
        value for value in known if value != value.to_integral_value() and value < Decimal(10) ** 15
    )
    if any(value.quantize(places) == number for value in fine):
        return True
    return number in {
        Decimal(size) for result in evidence.results for size in _sizes(read_result(result))
    }


def _sizes(value: object) -> Iterator[int]:
    if isinstance(value, dict | list):
        yield len(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from _sizes(item)


def _ids_in(texts: Sequence[str]) -> set[str]:
    return {cited for text in texts for cited in _CITED.findall(text)}


def _levels(value: object) -> Iterator[dict[str, set[Decimal]]]:
    """Keys of one kind with the numbers below each: keys of an object, or the one text field of
    listed objects.
    """
    if isinstance(value, dict):
        yield {str(key): set(_magnitudes_in(item)) for key, item in value.items()}
        inner: dict[str, set[Decimal]] = {}
        for item in value.values():
            for key, numbers in _own(item):
                inner.setdefault(key, set()).update(numbers)
        yield inner
    if isinstance(value, list):
        for field in {key for item in value if isinstance(item, dict) for key in item}:
            level: dict[str, set[Decimal]] = {}
            for item in value:
                if isinstance(item, dict) and isinstance(item.get(field), str):
                    level.setdefault(item[field], set()).update(_magnitudes_in(item))
            yield level


def _own(value: object) -> Iterator[tuple[str, set[Decimal]]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), set(_magnitudes_in(item))


def _magnitudes_in(value: object) -> Iterator[Decimal]:
    for item in scalars(value):
        if isinstance(item, int | float) and not isinstance(item, bool) and abs(item) < 10**15:
            yield abs(Decimal(str(item)))


def _clauses(answer: str, language: LanguageCode) -> list[str]:
    text = with_iso_dates(normal(_CITED.sub(" ", answer), language), language)
    if any(notation.fraction == "," for notation in rules_for(language).number_notations):
        text = _COMMA_IN_NUMBER.sub(".", text)
    return [clause for clause in _CLAUSE_ENDS.split(text) if clause.strip()]


def _is_other_value(clause: str, level: dict[str, set[Decimal]], language: LanguageCode) -> bool:
    """Whether a clause names keys and one number that belongs to other keys of the same level."""
    days = dates_in(clause, language)
    named = {key for key in level if key in days or (len(key) > 1 and key.casefold() in clause)}
    if not named:
        return False
    rest = clause
    for day in days:
        rest = rest.replace(day, " ")
    for key in sorted(named, key=len, reverse=True):
        rest = re.sub(re.escape(key), " ", rest, flags=re.IGNORECASE)
    numbers = set(_numbers(rest, language))
    if len(numbers) != 1:
        return False
    (readings,) = numbers
    own = set().union(*(level[key] for key in named))
    others = (values for key, values in level.items() if key not in named)
    return readings.isdisjoint(own) and any(readings & values for values in others)
