"""Lexical search over one elder's memories: BM25 over English stems and Chinese characters, with a floor.

The floor is what makes "I was never told that" possible: a memory is found only when it holds enough of what the
query is about, rare words counting more than common ones.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from agent_assets.conversations.memories import Memory
from agent_assets.text import dates
from agent_assets.text.numbers import ascii_digits

MIN_COVERAGE = 0.4  # share of the query's weight that a memory must hold
_K1, _B = 1.2, 0.5  # BM25; memories are short, so length counts less than the usual 0.75

_RUN = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")

# Words that say nothing of what a question is about.
_STOP_WORDS = re.compile(
    "a|about|after|all|also|am|an|and|any|are|as|at|be|been|before|but|by|can|could|did|do|does|doing|done|ever|"
    "for|from|get|go|got|had|has|have|having|he|her|hers|him|his|how|i|if|in|into|is|it|its|just|like|many|me|more|"
    "most|much|my|no|not|of|off|on|once|one|or|our|out|over|own|said|say|she|should|so|some|tell|than|that|the|"
    "their|them|then|there|these|they|thing|things|this|those|time|to|too|up|us|very|was|we|were|what|when|where|"
    "which|while|who|whom|whose|why|will|with|would|you|your|yours|yourself|remember|know|story|please"
)
_STOP_CHINESE = re.compile(
    "什么|怎么|怎样|喜欢|名字|最|叫|如何|哪里|哪儿|哪年|哪一年|哪个|哪些|哪|为什么|为何|多少|谁|时候|告诉|记得|知道|说说|讲讲|请问|"
    "您|你|我|他|她|它|们|的|了|吗|呢|吧|啊|是|在|有|过|和|与|就|都|也|很|被|把|这|那|么|几|请|不|没|得|地|着|给|对"
)
_LIGHT_WEIGHT = 0.25

_HISSED = re.compile(r"(?:ss|x|z|ch|sh)es$")  # the plural that adds a syllable
_SILENT_E = re.compile(r"^[^aeiou]*[aeiou][^aeiouwxy]$")  # what -ed and -ing leave of care, name, live


def _stem(word: str) -> str:
    """Cut plural, -ed and -ing: "sailed ships" finds "sailing ship". Not linguistics, but both sides are cut alike."""
    if not word.isalpha():
        return word
    if word.endswith(("ies", "ied")) and len(word) > 4:
        word = word[:-3] + "y"
    elif _HISSED.search(word):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for suffix in ("ing", "ed"):
        base = word.removesuffix(suffix)
        if base != word and len(base) > 1 and re.search("[aeiouy]", base):
            word = base + "e" if len(base) == 2 or (len(base) == 3 and _SILENT_E.match(base)) else base
    if len(word) > 3 and word[-1] == word[-2]:
        return word[:-1]  # stopped, stopping -> stop
    return word[:-1] if len(word) > 4 and word.endswith("e") else word  # raise, raising -> rais


# Stems that many questions share: they help to rank, and hardly count as having been told.
_LIGHT_WORDS = frozenset(map(_stem, ("name", "called", "favourite", "favorite", "happened", "kind", "old", "year")))


def normalise(text: str) -> str:
    """One spelling of full-width and accented letters, case folded."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def terms(text: str) -> list[str]:
    """Stems of English words; of Chinese runs, cut at words that carry no content, each character and each pair."""
    found: list[str] = []
    for run in _RUN.findall(normalise(text)):
        if not "\u3400" <= run[0] <= "\u9fff":
            if not _STOP_WORDS.fullmatch(run) and (len(run) > 1 or run.isdigit()):
                found.append(_stem(run))
        else:
            for part in filter(None, _STOP_CHINESE.split(run)):
                found += list(part)
                found += [part[index : index + 2] for index in range(len(part) - 1)]
    return found


def years(text: str) -> list[int]:
    """Four-digit years in a text, in order."""
    return dates.years(ascii_digits(unicodedata.normalize("NFKC", text)))


class MemoryIndex:
    """Finds memories by words, by years and by names. Ties go to the smaller memory id."""

    def __init__(self, memories: Sequence[Memory]) -> None:
        self._memories = sorted(memories, key=lambda memory: memory.memory_id)
        self._counts = [Counter(terms(f"{memory.question} {memory.answer}")) for memory in self._memories]
        self._lengths = [counts.total() for counts in self._counts]
        self._average_length = sum(self._lengths) / max(len(self._lengths), 1)
        self._holders = Counter(term for counts in self._counts for term in counts)

    def search(self, query: str, *, limit: int) -> list[Memory]:
        """The best matches, best first; empty when no memory holds enough of the query."""
        wanted = sorted(set(terms(query)))
        weights = {term: self._weight(term) for term in wanted}
        total = sum(weights.values())
        found: list[tuple[float, Memory]] = []
        for index, memory in enumerate(self._memories):
            held = sum(weight for term, weight in weights.items() if term in self._counts[index])
            if held and held >= MIN_COVERAGE * total:
                score = sum(weight * self._saturation(index, term) for term, weight in weights.items())
                found.append((score, memory))
        # Python's sort is stable and the memories are in id order: equal scores keep it.
        found.sort(key=lambda pair: -round(pair[0], 9))
        return [memory for _, memory in found[:limit]]

    def between_years(self, start_year: int, end_year: int) -> list[Memory]:
        """Memories that mention a year from `start_year` to `end_year`, earliest such year first."""
        dated = []
        for memory in self._memories:
            inside = [year for year in years(f"{memory.question} {memory.answer}") if start_year <= year <= end_year]
            if inside:
                dated.append((min(inside), memory))
        return [memory for _, memory in sorted(dated, key=lambda pair: pair[0])]

    def about_person(self, name: str) -> list[Memory]:
        """Memories that hold `name` in question or answer. Latin names match where a word starts: Ann, not cannot."""
        needle = normalise(name).strip()
        pattern = re.compile((r"\b" if needle[:1].isascii() else "") + re.escape(needle))
        texts = ((normalise(f"{memory.question} {memory.answer}"), memory) for memory in self._memories)
        return [memory for text, memory in texts if needle and pattern.search(text)]

    def _weight(self, term: str) -> float:
        """Inverse document frequency; a word that no memory holds weighs most."""
        holders = self._holders[term]
        rarity = math.log(1 + (len(self._memories) - holders + 0.5) / (holders + 0.5))
        # One Chinese character says less than two in a row.
        light = term in _LIGHT_WORDS or (len(term) == 1 and not term.isdigit())
        return rarity * (_LIGHT_WEIGHT if light else 1.0)

    def _saturation(self, index: int, term: str) -> float:
        count = self._counts[index][term]
        return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * self._lengths[index] / self._average_length))
