"""What an elder's memories offer as arguments of memory tools: ids, years, people."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

from agent_assets.conversations.memories import Memory
from agent_assets.text.language import Language

MemorySource = Literal["memory_id", "person", "first_year", "last_year", "question"]

MOST_MEMORIES_OF_A_PERSON = 3  # a person who is everywhere makes long rows that teach little

# What stands before is looked at last: a pattern that starts with a digit is searched for quickly.
_YEAR = re.compile(r"(1[5-9]\d\d|20\d\d)(?<![0-9].{4})(?![0-9])")
_CAPITAL = re.compile(r" [A-Z][a-z]")  # stands in every English name
# English: a title or a relation, then capitalised words. Chinese: a relation, or a name before a title.
_NAME = r"[A-Z][a-z]+(?: [A-Z][a-z]+){0,2}"
_ENGLISH = re.compile(
    r"\b(?:Mr\.|Mrs\.|Miss|Dr\.|Sir|Captain|Colonel|Governor|Reverend|Master|Aunt|Uncle|"
    rf"(?:father|mother|brother|sister|son|daughter|wife|husband|uncle|aunt|friend|cousin|partner)(?: was)?) ({_NAME})"
)
_CHINESE_NAME = r"(?:(?![父母弟兄友儒她他我叫的是在有后病也])[\u4e00-\u9fff]){2,3}"
_CHINESE = re.compile(
    r"(?:父亲|母亲|妻子|丈夫|儿子|女儿|弟弟|哥哥|姐姐|妹妹|姐夫|友人|朋友|姑丈|堂兄|表妹夫|盟弟)(?:名?叫|是)?"
    rf"({_CHINESE_NAME})(?=[，。、；,.]|的|在|是|和|先生)|({_CHINESE_NAME})先生"
)


def people(memories: Sequence[Memory], language: Language) -> list[str]:
    """Names that memories introduce by a title or a relation, each in at most three memories; sorted.

    A few patterns, not a name recogniser: it finds enough names to train with, and the tool confirms each.
    """
    pattern = _ENGLISH if language == "en" else _CHINESE
    texts = [f"{memory.question} {memory.answer}" for memory in memories]
    likely = [text for text in texts if _CAPITAL.search(text)] if language == "en" else texts
    found = {next(filter(None, match.groups())) for text in likely for match in pattern.finditer(text)}
    holders = Counter({name: sum(name in text for text in texts) for name in found})
    # A name that is also a word, such as Read, finds more than the person.
    words = set(re.findall(r"\b[a-z]+\b", " ".join(texts))) if found else set()
    return sorted(name for name in found if holders[name] <= MOST_MEMORIES_OF_A_PERSON and name.lower() not in words)


def years(memories: Sequence[Memory]) -> list[int]:
    """Years that memories mention, sorted, each once."""
    return sorted({int(year) for memory in memories for year in _YEAR.findall(f"{memory.question} {memory.answer}")})


class MemoryArguments:
    """Samples arguments that one elder's memories can answer."""

    def __init__(self, memories: Sequence[Memory], language: Language) -> None:
        self._choices: dict[str, list[Any]] = {
            "memory_id": [memory.memory_id for memory in memories],
            "person": people(memories, language),
            "year": years(memories),
        }

    def lacking(self, sources: Mapping[str, MemorySource]) -> str | None:
        """Why the memories cannot fill these parameters; None when they can."""
        wanted = {"year" if source.endswith("year") else source for source in sources.values()}
        empty = sorted(name for name in wanted if not self._choices.get(name))
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
