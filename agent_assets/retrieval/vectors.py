"""The vectors of one elder's memories, computed once and kept in the elder_memories artifact.

Question and answer are texts of their own, and a long answer is several: one vector each. The
vectors of texts that did not change are taken over from the previous version of the artifact.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent_assets.conversations.memories import Memory
from agent_assets.retrieval.config import EmbeddingConfig
from agent_assets.retrieval.embedder import Embedder
from agent_assets.text.languages.rules import LanguageCode, rules_for

VECTORS_FILE = "vectors.npy"
TEXTS_FILE = "vectors.json"
PASSAGE_WORDS = 80  # an answer that is not longer is one passage

Field = Literal["question", "answer"]


@dataclass(frozen=True)
class EmbeddedText:
    """Which part of which memory a vector stands for: `text[start:end]` of one field."""

    memory_id: str
    field: Field
    start: int
    end: int
    digest: str  # of the text, with its field

    def cut(self, memory: Memory) -> str:
        """The text itself."""
        return getattr(memory, self.field)[self.start : self.end]  # type: ignore[no-any-return]


@dataclass(frozen=True)
class MemoryVectors:
    """Vectors of all texts of an elder.

    Args:
        model_hash: of the embedding model.
        embedding: how that model is opened, for queries.
        texts: what each row stands for.
        matrix: float16 of shape (texts, dimensions), unit length.
    """

    model_hash: str
    embedding: EmbeddingConfig
    texts: tuple[EmbeddedText, ...]
    matrix: npt.NDArray[np.float16]


@dataclass(frozen=True)
class EmbeddingCounts:
    """How many vectors were computed, and how many taken over."""

    computed: int
    reused: int


def embed_memories(
    memories: Sequence[Memory],
    language: LanguageCode,
    embedder: Embedder,
    *,
    config: EmbeddingConfig,
    previous: MemoryVectors | None = None,
) -> tuple[MemoryVectors, EmbeddingCounts]:
    """Vectors of all memories; those of texts that `previous` holds, by the same model, are its."""
    texts = [text for memory in memories for text in _texts(memory, language)]
    by_id = {memory.memory_id: memory for memory in memories}
    known: dict[str, npt.NDArray[np.float16]] = {}
    if previous is not None and previous.model_hash == embedder.model_hash:
        known = {text.digest: previous.matrix[row] for row, text in enumerate(previous.texts)}
    new = {text.digest: text for text in texts if text.digest not in known}
    known |= _embedded(embedder, by_id, list(new.values()))
    rows = [known[text.digest] for text in texts]
    matrix = np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float16)
    vectors = MemoryVectors(embedder.model_hash, config, tuple(texts), matrix)
    return vectors, EmbeddingCounts(computed=len(new), reused=len(texts) - len(new))


def write_vectors(folder: Path, vectors: MemoryVectors) -> None:
    """Write `vectors.npy` and `vectors.json` into `folder`."""
    np.save(folder / VECTORS_FILE, vectors.matrix)
    described = {
        "model_hash": vectors.model_hash,
        "embedding": vectors.embedding.model_dump(mode="json"),
        "texts": [list(vars(text).values()) for text in vectors.texts],
    }
    content = json.dumps(described, ensure_ascii=False, separators=(",", ":"))
    (folder / TEXTS_FILE).write_text(content + "\n", encoding="utf-8")


def read_vectors(folder: Path) -> MemoryVectors | None:
    """Vectors of an elder_memories artifact, mapped from disk; None where it holds none."""
    if not (folder / VECTORS_FILE).is_file():
        return None
    described = json.loads((folder / TEXTS_FILE).read_text(encoding="utf-8"))
    return MemoryVectors(
        model_hash=described["model_hash"],
        embedding=EmbeddingConfig.model_validate(described["embedding"]),
        texts=tuple(EmbeddedText(*entry) for entry in described["texts"]),
        matrix=np.load(folder / VECTORS_FILE, mmap_mode="r"),
    )


def passages(answer: str, language: LanguageCode) -> list[tuple[int, int]]:
    """Start and end of the passages of an answer: whole sentences, about `PASSAGE_WORDS` each."""
    rules = rules_for(language)
    if rules.length(answer) <= PASSAGE_WORDS:
        return [(0, len(answer))]
    spans: list[tuple[int, int]] = []
    start = end = 0
    length = 0.0
    for sentence in rules.sentences(answer):
        at = answer.find(sentence, end)
        if at < 0:
            continue  # rules that reword what they cut: it stays in the passage around it
        words = rules.length(sentence)
        if length and length + words > PASSAGE_WORDS:
            spans.append((start, at))
            start, length = at, 0.0
        end, length = at + len(sentence), length + words
    return [*spans, (start, len(answer))]


def _texts(memory: Memory, language: LanguageCode) -> list[EmbeddedText]:
    parts: list[tuple[Field, int, int]] = []
    if memory.question.strip():
        parts.append(("question", 0, len(memory.question)))
    parts += [("answer", start, end) for start, end in passages(memory.answer, language)]
    return [
        EmbeddedText(memory.memory_id, field, start, end, _digest(memory, field, start, end))
        for field, start, end in parts
    ]


def _digest(memory: Memory, field: Field, start: int, end: int) -> str:
    text = memory.question if field == "question" else memory.answer
    return hashlib.blake2b(f"{field}\n{text[start:end]}".encode(), digest_size=16).hexdigest()


def _embedded(
    embedder: Embedder, by_id: dict[str, Memory], texts: Sequence[EmbeddedText]
) -> dict[str, npt.NDArray[np.float16]]:
    """Vectors by digest. Questions are passages, too: measured, they are found so more often."""
    if not texts:
        return {}
    cut = [text.cut(by_id[text.memory_id]) for text in texts]
    matrix = embedder.passages(cut).astype(np.float16)
    return {text.digest: row for text, row in zip(texts, matrix, strict=True)}
