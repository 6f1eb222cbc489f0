"""Search by words: BM25 over the terms of a language, and how much of a query a memory holds."""

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence

import bm25s
import numpy as np
import numpy.typing as npt

from agent_assets.text.languages.rules import LanguageCode, readers

Scores = npt.NDArray[np.float32]

_K1, _B = 1.2, 0.5  # memories are short, so length counts less than the usual 0.75
_LIGHT_WEIGHT = 0.25


def normalise(text: str) -> str:
    """One spelling of full-width and accented letters, case folded."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def terms(text: str, language: LanguageCode) -> list[str]:
    """What a text is about, by the rules of its language and of those it mixes in.

    Stems of words without stop words; of Chinese each character and each pair.
    """
    text = normalise(text)
    return [term for rules in readers(language) for term in rules.search_terms(text)]


class LexicalIndex:
    """BM25 over texts in one language."""

    def __init__(self, texts: Sequence[str], language: LanguageCode) -> None:
        self._language = language
        self._light = frozenset().union(*(rules.light_terms for rules in readers(language)))
        documents = [terms(text, language) for text in texts]
        self._size = len(documents)
        self._holders: dict[str, list[int]] = {}
        for number, document in enumerate(documents):
            for term in set(document):
                self._holders.setdefault(term, []).append(number)
        self._bm25 = bm25s.BM25(k1=_K1, b=_B)
        if self._holders:
            self._bm25.index(documents, show_progress=False)

    def search(self, query: str) -> tuple[Scores, Scores]:
        """BM25 by what the query weighs, and the share of that weight that each text holds.

        Rare words weigh more than common ones; a word that no text holds weighs most.
        """
        counts = Counter(terms(query, self._language))
        weights = {term: self._weight(term) for term in sorted(counts)}
        total = sum(weights.values())
        known = [term for term in weights if term in self._holders]
        coverage = np.zeros(self._size, dtype=np.float32)
        if not known:
            return coverage, coverage
        for term in known:
            coverage[self._holders[term]] += weights[term]
        light = [term for term in known if self._is_light(term)]
        scores = self._bm25_of([term for term in known if term not in light])
        scores += _LIGHT_WEIGHT * self._bm25_of(light)
        return scores / total, coverage / total

    def _bm25_of(self, known: list[str]) -> Scores:
        if not known:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._bm25.get_scores(known), dtype=np.float32)

    def _weight(self, term: str) -> float:
        holders = len(self._holders.get(term, ()))
        rarity = math.log(1 + (self._size - holders + 0.5) / (holders + 0.5))
        return rarity * (_LIGHT_WEIGHT if self._is_light(term) else 1.0)

    def _is_light(self, term: str) -> bool:
        # One Chinese character says less than two in a row.
        return term in self._light or (len(term) == 1 and not term.isdigit())
