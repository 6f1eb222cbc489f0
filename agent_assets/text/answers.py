"""Reading a final answer: what it states, how much of a memory it holds, whether it says "never
told", what it cites.

Everything here is lexical and deterministic, by the rules of the language and of those it mixes in.
Text is compared after Unicode NFKC and lower-casing, so full-width digits and letters equal their
plain forms.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from itertools import chain

from agent_assets.conversations.messages import Message
from agent_assets.conversations.reasoning import without_reasoning
from agent_assets.text.dates import (
    DateNotation,
    dates,
    is_iso_date,
    replace_dates,
    without_months_and_days,
)
from agent_assets.text.languages.rules import LanguageCode, readers, rules_for
from agent_assets.text.numbers import ascii_digits, numerals, plain_number, signed_values


def final_answer(messages: Sequence[Message]) -> str:
    """The text a rollout ends with: "" when it ends with a tool call or a tool result."""
    if not messages or messages[-1].role != "assistant" or messages[-1].tool_calls:
        return ""
    return without_reasoning(messages[-1].content)


def states_value(value: str, answer: str, language: LanguageCode) -> bool:
    """Whether an answer states a gold value.

    A number counts in any usual format of the language (`3456.7`, `3,456.70`), never rounded. An
    ISO date counts in ISO notation and those of the language. Any other text has to occur as it is,
    in Latin script as whole words.
    """
    value, answer = _normal(value), _normal(answer)
    if (number := plain_number(value)) is not None:
        return number in _numbers(answer, language)
    if is_iso_date(value):
        return value in _dates(answer, language)
    before, after = (
        r"(?<!\w)" if value[:1].isascii() else "",
        r"(?!\w)" if value[-1:].isascii() else "",
    )
    return (
        bool(value) and re.search(before + re.escape(value) + after, answer, re.ASCII) is not None
    )


def recall_share(gold: str, question: str, answer: str, language: LanguageCode) -> float:
    """Share (0 to 1) of the content of a memory that an answer holds.

    Content is the set of numbers and of what else carries content in the language (in English words
    without stop words, in Chinese pairs of characters) of `gold` that the question does not already
    give away. A memory that says nothing beyond its question is measured by all of its content.
    """
    everything = _content(gold, language)
    expected = everything - _content(question, language) or everything
    if not expected:
        return float(_normal(gold) in _normal(answer))
    return len(expected & _content(answer, language)) / len(expected)


def says_never_told(answer: str, language: LanguageCode) -> bool | None:
    """Whether a reply says that this was never told, is not known, or cannot be looked up.

    Returns:
        None where it cannot be known: nobody listed how the language says so.
    """
    if not knows_never_told(language):
        return None
    text = _normal(answer)
    return any(pattern.search(text) for rules in readers(language) for pattern in rules.never_told)


def knows_never_told(language: LanguageCode) -> bool:
    """Whether it is known how a language says that something was never told."""
    return bool(rules_for(language).never_told)


def cited_ids(answer: str, known: Iterable[str]) -> frozenset[str]:
    """Those of the known memory ids that an answer names."""
    return frozenset(
        memory
        for memory in known
        if re.search(rf"(?<![\w-]){re.escape(memory)}(?![\w-])", answer, re.ASCII)
    )


def offered_ids(messages: Sequence[Message]) -> frozenset[str]:
    """Memory ids that the tools returned in a rollout: `id` of every object in a JSON list
    result.
    """
    ids: set[str] = set()
    for message in messages:
        if message.role == "tool":
            ids.update(_ids_in(message.content))
    return frozenset(ids)


def _ids_in(result: str) -> Collection[str]:
    try:
        entries = json.loads(result)
    except ValueError:  # a tool may answer in plain text
        return ()
    entries = entries if isinstance(entries, list) else [entries]
    return [
        entry["id"]
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    ]


def dates_in(text: str, language: LanguageCode) -> set[str]:
    """Every day that a text names, as ISO dates, in ISO notation and those of the language."""
    return _dates(_normal(text), language)


def with_iso_dates(text: str, language: LanguageCode) -> str:
    """A text in lower case with every day that it names in ISO notation."""
    return replace_dates(_normal(text), _date_notations(language))


def _normal(text: str) -> str:
    return ascii_digits(unicodedata.normalize("NFKC", text)).casefold().replace("’", "'").strip()


def _numbers(text: str, language: LanguageCode) -> set[Decimal]:
    return signed_values(without_months_and_days(text), rules_for(language).number_notations)


def _dates(text: str, language: LanguageCode) -> set[str]:
    return dates(text, _date_notations(language))


def _date_notations(language: LanguageCode) -> list[DateNotation]:
    return list(chain.from_iterable(rules.date_notations for rules in readers(language)))


def _content(text: str, language: LanguageCode) -> set[str]:
    text = _normal(text)
    number_words = numerals(text, rules_for(language).number_notations)
    values = {str(value.normalize()) for numeral in number_words for value in numeral.readings}
    return values.union(*(rules.content(text) for rules in readers(language)))
