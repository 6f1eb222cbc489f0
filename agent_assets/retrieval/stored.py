"""Vectors of an artifact together with the embedding model that made them."""

from dataclasses import dataclass
from pathlib import Path

from agent_assets.errors import ConfigError
from agent_assets.retrieval.embedder import Embedder
from agent_assets.retrieval.embedding import model_hash, open_embedder
from agent_assets.retrieval.vectors import MemoryVectors, read_vectors


@dataclass(frozen=True)
class StoredVectors:
    """What finds memories by meaning; both None where nothing does, and `why_not` says why."""

    vectors: MemoryVectors | None = None
    embedder: Embedder | None = None
    why_not: str = ""


def open_vectors(folder: Path) -> StoredVectors:
    """Open the vectors of an elder_memories artifact, if there are any that can be used here."""
    vectors = read_vectors(folder)
    if vectors is None:
        return StoredVectors(why_not="this version of them has no vectors; materialize them again.")
    try:
        here = model_hash(vectors.embedding)
        if here != vectors.model_hash:
            return StoredVectors(
                why_not="their vectors are of another embedding model than the one installed here; "
                "materialize them again."
            )
        return StoredVectors(vectors, open_embedder(vectors.embedding))
    except ConfigError as error:
        return StoredVectors(why_not=str(error))
