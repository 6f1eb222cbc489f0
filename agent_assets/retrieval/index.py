"""Search over one elder's memories: by meaning and by words, with "that was never told".

Scores of both are added: the cosine of the better of question and answer, and BM25 divided by the
weight of the query. Where there are no vectors, words alone rank and decide.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from agent_assets.conversations.memories import Memory
from agent_assets.retrieval.config import ToldConfig
from agent_assets.retrieval.embedder import Embedder
from agent_assets.retrieval.lexical import LexicalIndex, Scores, normalise
from agent_assets.retrieval.told import SHIPPED, Closeness, was_told
from agent_assets.retrieval.vectors import MemoryVectors
from agent_assets.text import dates
from agent_assets.text.languages.rules import LanguageCode
from agent_assets.text.numbers import ascii_digits

MIN_COVERAGE = 0.4  # share of the query's weight that a memory must hold, where words decide
LEXICAL_WEIGHT = 0.2  # of BM25 beside the cosine
YEAR_WEIGHT = 0.1  # of a year that query and memory both name
MARGIN_TO = 5  # the memory that the best one is compared with
QUERY_CACHE = 256  # the agents of one evaluation ask the same


@dataclass(frozen=True)
class Hit:
    """A memory that was found, and where the passage of its answer begins that matches best."""

    memory: Memory
    start: int = 0


def years_in(text: str) -> list[int]:
    """Four-digit years in a text, in order."""
    return dates.years(ascii_digits(unicodedata.normalize("NFKC", text)))


class MemoryIndex:
    """Finds memories by meaning and words, by years and by names. Ties go to the smaller id.

    Args:
        vectors: of these memories; None: words alone.
        embedder: the model of `vectors`, for queries.
    """

    def __init__(
        self,
        memories: Sequence[Memory],
        language: LanguageCode,
        vectors: MemoryVectors | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._language = language
        self._memories = sorted(memories, key=lambda memory: memory.memory_id)
        texts = [f"{memory.question} {memory.answer}" for memory in self._memories]
        self._lexical = LexicalIndex(texts, language)
        self._years = [years_in(text) for text in texts]
        self._dense = None
        self._told: ToldConfig | None = None
        if vectors is not None and embedder is not None and self._memories:
            self._dense = DenseIndex(self._memories, vectors, embedder)
            self._told = vectors.embedding.told or SHIPPED.get(vectors.model_hash)

    def search(self, query: str, *, limit: int) -> list[Hit]:
        """The best matches, best first; empty when the query was never told about."""
        if not self._memories or not query.strip():
            return []
        scores = self._scored(query)
        if self._told is None:
            return self._hits(scores, limit, among=scores.coverage >= MIN_COVERAGE)
        is_told = was_told(scores.closeness(), self._told, self._language)
        return self._hits(scores, limit) if is_told else []

    def neighbours(self, query: str, *, limit: int) -> list[Hit]:
        """What comes nearest to a query, whether or not it answers it."""
        if not self._memories or not query.strip():
            return []
        return self._hits(self._scored(query), limit)

    def closeness(self, query: str) -> Closeness:
        """What is judged when a query is told from what was never told.

        Raises:
            ValueError: there are no memories.
        """
        return self._scored(query).closeness()

    def between_years(self, start_year: int, end_year: int) -> list[Memory]:
        """Memories that mention a year from `start_year` to `end_year`, earliest such year
        first.
        """
        dated = []
        for memory, named in zip(self._memories, self._years, strict=True):
            inside = [year for year in named if start_year <= year <= end_year]
            if inside:
                dated.append((min(inside), memory))
        return [memory for _, memory in sorted(dated, key=lambda pair: pair[0])]

    def about_person(self, name: str) -> list[Memory]:
        """Memories that hold `name` in question or answer. Latin names match where a word starts:
        Ann, not cannot.
        """
        needle = normalise(name).strip()
        pattern = re.compile((r"\b" if needle[:1].isascii() else "") + re.escape(needle))
        texts = (
            (normalise(f"{memory.question} {memory.answer}"), memory) for memory in self._memories
        )
        return [memory for text, memory in texts if needle and pattern.search(text)]

    def _scored(self, query: str) -> "_Scores":
        lexical, coverage = self._lexical.search(query)
        ranking = lexical * LEXICAL_WEIGHT
        answers = questions = np.zeros(len(self._memories), dtype=np.float32)
        starts = np.zeros(len(self._memories), dtype=np.int64)
        if self._dense is not None:
            answers, questions, starts = self._dense.search(query)
            ranking = ranking + np.maximum(answers, questions)
        named = set(years_in(query))
        dated = np.array([not named.isdisjoint(years) for years in self._years])
        ranking = ranking + np.float32(YEAR_WEIGHT) * dated.astype(np.float32)
        return _Scores(ranking, lexical, coverage, answers, questions, dated, starts)

    def _hits(
        self, scores: "_Scores", limit: int, among: npt.NDArray[np.bool_] | None = None
    ) -> list[Hit]:
        # Rounded, so that equal memories stay in the order of their ids on every machine.
        order = np.argsort(-np.round(scores.ranking.astype(np.float64), 6), kind="stable")
        chosen = [row for row in order.tolist() if among is None or among[row]]
        return [Hit(self._memories[row], int(scores.starts[row])) for row in chosen[:limit]]


@dataclass(frozen=True)
class _Scores:
    """Of one query, by memory."""

    ranking: Scores
    lexical: Scores
    coverage: Scores
    answers: Scores
    questions: Scores
    dated: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]

    def closeness(self) -> Closeness:
        best = np.sort(self.answers)[::-1][:MARGIN_TO]
        return Closeness(
            top=float(self.answers.max()),
            mean=float(self.answers.mean()),
            question=max(0.0, float(self.questions.max())),
            coverage=float(self.coverage.max()),
            lexical=float(self.lexical.max()),
            margin=float(best[0] - best[-1]),
            same_year=bool(self.dated.any()),
        )


class DenseIndex:
    """Cosines between a query and every memory."""

    def __init__(
        self, memories: Sequence[Memory], vectors: MemoryVectors, embedder: Embedder
    ) -> None:
        row_of = {memory.memory_id: row for row, memory in enumerate(memories)}
        self._size = len(memories)
        self._matrix = vectors.matrix.astype(np.float32)
        self._memory = np.array([row_of[text.memory_id] for text in vectors.texts])
        self._is_answer = np.array([text.field == "answer" for text in vectors.texts])
        self._start = np.array([text.start for text in vectors.texts])
        self._query = lru_cache(maxsize=QUERY_CACHE)(
            lambda query: embedder.queries([query])[0].astype(np.float32)
        )

    def search(self, query: str) -> tuple[Scores, Scores, npt.NDArray[np.int64]]:
        """By memory: the best cosine of a passage, that of the question (-1 without one), and where
        that passage begins.
        """
        cosines = self._matrix @ self._query(query)
        answers = np.full(self._size, -1.0, dtype=np.float32)
        questions = np.full(self._size, -1.0, dtype=np.float32)
        is_answer = self._is_answer
        np.maximum.at(answers, self._memory[is_answer], cosines[is_answer])
        np.maximum.at(questions, self._memory[~is_answer], cosines[~is_answer])
        best = is_answer & (cosines == answers[self._memory])
        starts = np.zeros(self._size, dtype=np.int64)
        starts[self._memory[best]] = self._start[best]
        return answers, questions, starts
