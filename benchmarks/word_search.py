"""The search of the first version, as a peer: home-made BM25 with a floor, and its stemmer.

The floor is what makes "I was never told that" possible: a memory is found only when it holds
enough of what the query is about, rare words counting more than common ones.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence

from english_stems import stem

from agent_assets.conversations.memories import Memory
from agent_assets.text.languages.en import SEARCH_RUN, SEARCH_STOP
from agent_assets.text.languages.rules import LanguageCode, readers

MIN_COVERAGE = 0.4  # share of the query's weight that a memory must hold
_K1, _B = 1.2, 0.5  # BM25; memories are short, so length counts less than the usual 0.75

_LIGHT_WEIGHT = 0.25


def normalise(text: str) -> str:
    """One spelling of full-width and accented letters, case folded."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def terms(text: str, language: LanguageCode) -> list[str]:
    """What a text is about, by the rules of its language and of those it mixes in.

    Words or their stems without stop words; of Chinese each character and each pair.
    """
    text = normalise(text)
    english = (run for run in SEARCH_RUN.findall(text) if not SEARCH_STOP.fullmatch(run))
    stems = [stem(run) for run in english if len(run) > 1 or run.isdigit()]
    others = [rules for rules in readers(language) if rules.code != "en"]
    return stems + [term for rules in others for term in rules.search_terms(text)]


class WordSearch:
    """Finds memories by words. Ties go to the smaller memory id."""

    def __init__(self, memories: Sequence[Memory], language: LanguageCode) -> None:
        self._language = language
        self._light = frozenset().union(*(rules.light_terms for rules in readers(language)))
        self._memories = sorted(memories, key=lambda memory: memory.memory_id)
        self._counts = [
            Counter(terms(f"{memory.question} {memory.answer}", language))
            for memory in self._memories
        ]
        self._lengths = [counts.total() for counts in self._counts]
        self._average_length = sum(self._lengths) / max(len(self._lengths), 1)
        self._holders = Counter(term for counts in self._counts for term in counts)

    def search(self, query: str, *, limit: int) -> list[Memory]:
        """The best matches, best first; empty when no memory holds enough of the query."""
        wanted = sorted(set(terms(query, self._language)))
        weights = {term: self._weight(term) for term in wanted}
        total = sum(weights.values())
        found: list[tuple[float, Memory]] = []
        for index, memory in enumerate(self._memories):
            held = sum(weight for term, weight in weights.items() if term in self._counts[index])
            if held and held >= MIN_COVERAGE * total:
                score = sum(
                    weight * self._saturation(index, term) for term, weight in weights.items()
                )
                found.append((score, memory))
        # Python's sort is stable and the memories are in id order: equal scores keep it.
        found.sort(key=lambda pair: -round(pair[0], 9))
        return [memory for _, memory in found[:limit]]

    def _weight(self, term: str) -> float:
        """Inverse document frequency; a word that no memory holds weighs most."""
        holders = self._holders[term]
        rarity = math.log(1 + (len(self._memories) - holders + 0.5) / (holders + 0.5))
        # One Chinese character says less than two in a row.
        light = term in self._light or (len(term) == 1 and not term.isdigit())
        return rarity * (_LIGHT_WEIGHT if light else 1.0)

    def _saturation(self, index: int, term: str) -> float:
        count = self._counts[index][term]
        return (
            count
            * (_K1 + 1)
            / (count + _K1 * (1 - _B + _B * self._lengths[index] / self._average_length))
        )
