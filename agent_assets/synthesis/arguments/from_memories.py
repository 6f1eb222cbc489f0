"""What an elder's memories offer as arguments of memory tools: ids, years, people."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

from agent_assets.conversations.memories import Memory
from agent_assets.text import dates
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.numbers import ascii_digits

MemorySource = Literal["memory_id", "person", "first_year", "last_year", "question"]

MOST_MEMORIES_OF_A_PERSON = 3  # a person who is everywhere makes long rows that teach little

FIRST_YEAR = 1500  # of the years that memories are asked for by


def people(memories: Sequence[Memory], language: LanguageCode) -> list[str]:
    """Names that memories introduce by a title or a relation, each in at most three memories;
    sorted.

    A few patterns, not a name recogniser: it finds enough names to train with, and the tool
    confirms each.
    """
    texts = [f"{memory.question} {memory.answer}" for memory in memories]
    names = rules_for(language).people(texts)
    holders = Counter({name: sum(name in text for text in texts) for name in names})
    # A name that is also a word, such as Read, finds more than the person.
    words = set(re.findall(r"\b[a-z]+\b", " ".join(texts))) if names else set()
    return sorted(
        name
        for name in names
        if holders[name] <= MOST_MEMORIES_OF_A_PERSON and name.lower() not in words
    )


def remembered_years(memories: Sequence[Memory]) -> list[int]:
    """Years that memories mention, sorted, each once."""
    numbers = {
        year
        for memory in memories
        for year in dates.years(ascii_digits(f"{memory.question} {memory.answer}"))
    }
    return sorted(year for year in numbers if year >= FIRST_YEAR)


class MemoryArguments:
    """Samples arguments that one elder's memories can answer."""

    def __init__(self, memories: Sequence[Memory], language: LanguageCode) -> None:
        self._choices: dict[str, list[Any]] = {
            "memory_id": [memory.memory_id for memory in memories],
            "person": people(memories, language),
            "year": remembered_years(memories),
        }

    def lacking(self, sources: Mapping[str, MemorySource]) -> str | None:
        """Why the memories cannot fill these parameters; None when they can."""
        needed = {"year" if source.endswith("year") else source for source in sources.values()}
        empty = sorted(name for name in needed if not self._choices.get(name))
        return f"the memories name no {', '.join(empty)}" if empty else None

    def sample(self, sources: Mapping[str, MemorySource], rng: Random) -> dict[str, object]:
        """One set of arguments; both years of a span lie around one year that is mentioned."""
        years_found = self._choices["year"]
        year = rng.choice(years_found) if years_found else 0
        span = {"first_year": year - rng.randint(0, 2), "last_year": year + rng.randint(0, 2)}
        return {
            name: span[source] if source in span else rng.choice(self._choices[source])
            for name, source in sorted(sources.items())
        }
