"""Short answers from tool results: every value stated once, compactly; and a memory told in the
elder's own words.
"""

import json
from collections.abc import Iterator
from typing import Any

from agent_assets.conversations.memories import Memory
from agent_assets.conversations.messages import JsonObject
from agent_assets.text.dates import is_iso_date
from agent_assets.text.languages.rules import LanguageCode, LanguageRules, rules_for

MAX_RESULT_CHARS = 400
MAX_SCALAR_CHARS = 80

_OPEN_END = " ,;:，；："


def read_result(observation: str) -> Any:
    """The value of a result: JSON where it is JSON, otherwise its text."""
    try:
        return json.loads(observation)
    except ValueError:  # tools may answer in plain text
        return observation.strip()


def scalars(value: object) -> Iterator[object]:
    """Every value inside objects and lists that is neither, in order."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from scalars(item)
    else:
        yield value


def state_result(observation: str) -> str:
    """All values of a result in one line, cut where it grows long: `2025-03-01 4.12, 2025-03-02
    4.2`.
    """
    text = " ".join(_compact(read_result(observation)).split())
    return (
        text if len(text) <= MAX_RESULT_CHARS else text[:MAX_RESULT_CHARS].rsplit(" ", 1)[0] + " …"
    )


def result_values(observation: str) -> list[str]:
    """The values of a result that a right answer states, in order, each once.

    Dates are left out where other values are beside them: the question named the days.
    """
    texts = (
        " ".join(_scalar(value).split())
        for value in scalars(read_result(observation))
        if value is not None
    )
    values = list(dict.fromkeys(text for text in texts if 0 < len(text) <= MAX_SCALAR_CHARS))
    without_dates = [value for value in values if not is_iso_date(value)]
    return without_dates or values


def own_words(memory_text: str, *, language: LanguageCode, max_words: int) -> str:
    """What was told, cut at the end of a sentence where it is long, and inside of one only where it
    must be.
    """
    # A passage from the middle of a long answer begins with an ellipsis.
    text, rules = " ".join(memory_text.removeprefix("…").split()), rules_for(language)
    if rules.length(text) <= max_words and (whole := text.rstrip(_OPEN_END)):
        return whole
    return (
        _first_parts(text, rules.sentences(text), max_words, rules)
        or _first_parts(text, rules.clauses(text), max_words, rules)
        or rules.cut(text, max_words)
    )


def told_by(memory: Memory, language: LanguageCode) -> str:
    """What comes before the words of somebody else than the elder; "" for their own."""
    return rules_for(language).phrases.told_by.get(memory.relationship, "")


def memories_in(observation: str) -> list[JsonObject]:
    """The memories in a result of a memory tool: objects with `id` and `text`."""
    value = read_result(observation)
    entries = value if isinstance(value, list) else [value]
    return [
        entry for entry in entries if isinstance(entry, dict) and "id" in entry and "text" in entry
    ]


def cite(words: str, memory_ids: list[str]) -> str:
    """Words with the memories they rest on: `I was born in Boston. [m-001]`."""
    return " ".join([words, *(f"[{memory_id}]" for memory_id in memory_ids)])


def _compact(value: object) -> str:
    if isinstance(value, dict):
        if any(isinstance(item, dict | list) for item in value.values()):
            return "; ".join(f"{key}: {_compact(item)}" for key, item in value.items())
        return ", ".join(f"{key} {_scalar(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_entry(item) for item in value)
    return _scalar(value)


def _entry(value: object) -> str:
    """One object of a list without its keys, texts before numbers: `2025-03-01 4.12`."""
    if isinstance(value, dict) and not any(
        isinstance(item, dict | list) for item in value.values()
    ):
        parts = sorted(value.values(), key=lambda item: not isinstance(item, str))
        return " ".join(_scalar(item) for item in parts)
    return _compact(value)


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _first_parts(text: str, parts: list[str], max_words: int, rules: LanguageRules) -> str:
    """As many parts from the start as fit; "" when the first does not."""
    end, length = 0, 0.0
    for part in parts:
        length += rules.length(part)  # no word goes over the end of a part
        if length > max_words:
            break
        end = text.index(part, end) + len(part)
    return text[:end].rstrip(_OPEN_END)
