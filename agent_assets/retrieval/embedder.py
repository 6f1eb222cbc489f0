"""What an embedding model does: texts in, unit vectors out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """An embedding model that tells queries from passages."""

    @property
    def model_hash(self) -> str:
        """Hex sha256 of what decides about the vectors."""

    def queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per query: float32 of shape (texts, dimensions)."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per passage: float32 of shape (texts, dimensions)."""


def normalised(vectors: npt.ArrayLike) -> Vectors:
    """Rows of length 1."""
    matrix = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(lengths, 1e-12), dtype=np.float32)
