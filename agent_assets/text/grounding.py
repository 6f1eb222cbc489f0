"""Does an answer say only what results, question and prompt say, and nothing else than they do?

Lexical, deterministic, for English and Chinese. Each rule looks at what can be compared without understanding:

| rule | rejects | example |
|---|---|---|
| number | a number that stands nowhere, rounds none that does, and counts no list | 7.5 where results hold 4.12 |
| date | a day that stands nowhere, in whatever notation | 3 May 2025 |
| name | an English capitalised word inside a sentence, or a Chinese quotation, that stands nowhere | in Lisbon |
| id | a memory id in brackets that no result holds | [m-999] |
| other value | beside a key of a result (a day, a place) the value of another key | the next day's price |
| denial | that nothing is known, where something was found | I cannot look it up. |

The first four are "not grounded", the last two are "contradicts". Sums, averages and other computed values are not
grounded: teachers are told to compute nothing. A clause is what stands between commas, semicolons, full stops and line
breaks; the rule on other values looks at clauses with exactly one number.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent_assets.text.answers import dates_in, says_never_told, with_iso_dates
from agent_assets.text.own_words import read_result

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?|\d+(?:\.\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_CITED = re.compile(r"\[([A-Za-z0-9][\w.:-]*)\]")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_QUOTED = re.compile(r"[「『《“]([^」』》”]{2,40})[」』》”]")
_CLAUSE = re.compile(r"[,;，；。、\n]|[.!?](?=\s|$)|[！？]")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n—–(\"“\[*-])\s*[\"'“(*]*$")
_MONTHS_AND_DAYS = """january february march april may june july august september october november december monday
tuesday wednesday thursday friday saturday sunday jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri
sat sun"""
_NO_NAMES = frozenset({"i", "i'm", "i'd", "i've", "i'll", "ok", "okay", *_MONTHS_AND_DAYS.split()})


@dataclass(frozen=True)
class Evidence:
    """What an answer may rest on.

    Args:
        results: texts of the tool results.
        others: question, system prompt, arguments of calls and whatever else was said before the answer.
        ids: memory ids that the results hold.
    """

    results: Sequence[str]
    others: Sequence[str] = ()
    ids: frozenset[str] = frozenset()


def not_grounded(answer: str, evidence: Evidence) -> list[str]:
    """What the answer says that nothing says: kinds and counts, never the words themselves."""
    sources = normal("\n".join([*evidence.results, *evidence.others]))
    text = normal(answer)
    bare = _CITED.sub(" ", text)
    found = {
        "numbers": sum(not _is_known(number, sources, evidence) for number in _numbers(bare) - _numbers(sources)),
        "dates": len(dates_in(bare) - dates_in(sources)),
        "names": len(_names(bare, sources)),
        "ids": len(set(_CITED.findall(answer)) - evidence.ids - _ids_in([*evidence.results, *evidence.others])),
    }
    return [f"{count} {kind} stand in no result" for kind, count in found.items() if count]


def contradictions(answer: str, evidence: Evidence, *, may_deny: bool) -> list[str]:
    """What the answer says against the results.

    Args:
        may_deny: the right answer is that nothing is known.
    """
    values = [read_result(result) for result in evidence.results]
    found = []
    if any(values) and not may_deny and says_never_told(answer) and not says_never_told("\n".join(evidence.results)):
        found.append("says that nothing is known, and a result is not empty")
    levels = [level for value in values for level in _levels(value) if len(level) > 1]
    wrong = sum(_is_other_value(clause, level) for clause in _clauses(answer) for level in levels)
    return [*found, f"{wrong} values of another key"] if wrong else found


def normal(text: str) -> str:
    """NFKC without thousands separators."""
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).replace("’", "'"))


def _numbers(text: str) -> set[Decimal]:
    return {abs(Decimal(number)) for number in _NUMBER.findall(text)}


def _is_known(number: Decimal, sources: str, evidence: Evidence) -> bool:
    """Whether a number that stands nowhere rounds one that does, or counts a list of a result."""
    exponent = number.as_tuple().exponent
    places = Decimal(1).scaleb(max(exponent, -12) if isinstance(exponent, int) else 0)
    fine = (known for known in _numbers(sources) if known != known.to_integral_value() and known < Decimal(10) ** 15)
    if any(known.quantize(places) == number for known in fine):
        return True
    return number in {Decimal(size) for result in evidence.results for size in _sizes(read_result(result))}


def _sizes(value: object) -> Iterator[int]:
    if isinstance(value, dict | list):
        yield len(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from _sizes(item)


def _names(text: str, sources: str) -> set[str]:
    known = {_bare_word(word) for word in _WORD.findall(sources)}
    found = set()
    for match in _WORD.finditer(text):
        word = _bare_word(match.group())
        inside = not _SENTENCE_START.search(text[: match.start()])
        if match.group()[0].isupper() and inside and word not in _NO_NAMES and word not in known:
            found.add(word)
    bare = "".join(sources.split()).lower()
    return found | {quoted for quoted in _QUOTED.findall(text) if "".join(quoted.split()).lower() not in bare}


def _bare_word(word: str) -> str:
    """Without a possessive: whoever has "Price's ship-yard" has Price."""
    return word.lower().removesuffix("'s").removesuffix("'")


def _ids_in(texts: Sequence[str]) -> set[str]:
    return {cited for text in texts for cited in _CITED.findall(text)}


def _levels(value: object) -> Iterator[dict[str, set[Decimal]]]:
    """Keys of one kind with the numbers below each: keys of an object, or the one text field of listed objects."""
    if isinstance(value, dict):
        yield {str(key): set(_leaves(item)) for key, item in value.items()}
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
                    level.setdefault(item[field], set()).update(_leaves(item))
            yield level


def _own(value: object) -> Iterator[tuple[str, set[Decimal]]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), set(_leaves(item))


def _leaves(value: object) -> Iterator[Decimal]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**15:
        yield abs(Decimal(str(value)))


def _clauses(answer: str) -> list[str]:
    text = with_iso_dates(normal(_CITED.sub(" ", answer)))
    return [clause for clause in _CLAUSE.split(text) if clause.strip()]


def _is_other_value(clause: str, level: dict[str, set[Decimal]]) -> bool:
    """Whether a clause names keys and one number that belongs to other keys of the same level."""
    days = dates_in(clause)
    named = {key for key in level if key in days or (len(key) > 1 and key.casefold() in clause)}
    if not named:
        return False
    rest = clause
    for day in days:
        rest = rest.replace(day, " ")
    for key in sorted(named, key=len, reverse=True):
        rest = re.sub(re.escape(key), " ", rest, flags=re.IGNORECASE)
    numbers = _numbers(rest)
    if len(numbers) != 1:
        return False
    (number,) = numbers
    own = set().union(*(level[key] for key in named))
    return number not in own and any(number in values for key, values in level.items() if key not in named)
