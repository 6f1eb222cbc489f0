"""What the product's search is compared with: one way to rank the memories of one person each."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import bm25s
import numpy as np
import numpy.typing as npt
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
from word_search import WordSearch

from agent_assets.conversations.memories import Memory
from agent_assets.retrieval.embedder import Embedder, Vectors
from agent_assets.retrieval.index import MemoryIndex
from agent_assets.retrieval.vectors import MemoryVectors
from agent_assets.text.languages.rules import rules_for

Scores = npt.NDArray[np.float64]
RECIPROCAL_RANK = 60  # the constant of Cormack et al. 2009
_WORD = re.compile(r"\w+")


class RememberedQueries:
    """An embedder that embeds each query once: what methods share is not measured twice."""

    def __init__(self, embedder: Embedder) -> None:
        self.model_hash = embedder.model_hash
        self.passages = embedder.passages
        self._embedder = embedder
        self._known: dict[str, Vectors] = {}

    def queries(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embedder.queries([text])[0]
        return np.stack([self._known[text] for text in texts])


@dataclass
class Person:
    """Whose memories are searched, and all that the methods make of them."""

    language: str
    memories: list[Memory]
    vectors: MemoryVectors
    embedder: RememberedQueries
    texts: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = [f"{memory.question} {memory.answer}" for memory in self.memories]

    @cached_property
    def index(self) -> MemoryIndex:
        return MemoryIndex(self.memories, self.language, self.vectors, self.embedder)

    @cached_property
    def word_search(self) -> WordSearch:
        return WordSearch(self.memories, self.language)

    @cached_property
    def bm25(self) -> bm25s.BM25:
        index = bm25s.BM25()
        index.index([self.words(text) for text in self.texts], show_progress=False)
        return index

    @cached_property
    def row(self) -> dict[str, int]:
        return {memory.memory_id: row for row, memory in enumerate(self.memories)}

    def words(self, text: str) -> list[str]:
        """As bm25s's own examples do it; in Chinese the terms that the product takes."""
        if self.language != "en":
            return rules_for(self.language).search_terms(text.casefold())
        words = (word for word in _WORD.findall(text.lower()) if word not in STOPWORDS_EN)
        return list(Stemmer.Stemmer("english").stemWords(list(words)))


def bm25_scores(person: Person, query: str) -> Scores:
    words = [word for word in person.words(query) if word in person.bm25.vocab_dict]
    if not words:
        return np.zeros(len(person.memories))
    return np.asarray(person.bm25.get_scores(words), dtype=np.float64)


def dense_scores(person: Person, query: str) -> Scores:
    """Cosine with the better of question and answer."""
    cosines = person.vectors.matrix.astype(np.float32) @ person.embedder.queries([query])[0]
    scores = np.full(len(person.memories), -1.0)
    rows = [person.row[text.memory_id] for text in person.vectors.texts]
    np.maximum.at(scores, rows, cosines)
    return scores


def fused_scores(person: Person, query: str) -> Scores:
    """Of dense and bm25s, by reciprocal rank."""
    ranks = [
        np.argsort(np.argsort(-scores, kind="stable"), kind="stable")
        for scores in (dense_scores(person, query), bm25_scores(person, query))
    ]
    return np.asarray(sum(1 / (RECIPROCAL_RANK + 1 + rank) for rank in ranks), dtype=np.float64)


PEERS: dict[str, Callable[[Person, str], Scores]] = {
    "bm25s": bm25_scores,
    "dense": dense_scores,
    "fusion": fused_scores,
}
