"""An embedding model behind the `/embeddings` route of OpenAI's API."""

from collections.abc import Sequence

import httpx
import numpy as np

from agent_assets.errors import LlmUnavailable
from agent_assets.retrieval.config import EmbeddingConfig
from agent_assets.retrieval.embedder import Vectors, normalised

BATCH = 64


class ServedEmbedder:
    """Asks a server for vectors, `BATCH` texts at a time."""

    def __init__(self, config: EmbeddingConfig, digest: str, *, api_key: str) -> None:
        self.model_hash = digest
        self._config = config
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=config.timeout_s)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.queries`.

        Raises:
            LlmUnavailable: the server does not answer, or not as it must.
        """
        return self._vectors([self._config.query_prefix + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.passages`.

        Raises:
            LlmUnavailable: the server does not answer, or not as it must.
        """
        return self._vectors([self._config.passage_prefix + text for text in texts])

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        batches = [self._ask(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        return normalised([vector for batch in batches for vector in batch])

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        url = f"{self._config.source.rstrip('/')}/embeddings"
        try:
            answer = self._client.post(url, json={"model": self._config.model, "input": texts})
            answer.raise_for_status()
            entries = sorted(answer.json()["data"], key=lambda entry: entry["index"])
            vectors = [entry["embedding"] for entry in entries]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise LlmUnavailable(
                f"The embedding server {url} did not answer as it must ({type(error).__name__}).",
                next_step="start it, or correct elder_memories.embedding in defs.yaml.",
            ) from error
        if len(vectors) != len(texts):
            raise LlmUnavailable(
                f"The embedding server {url} gave {len(vectors)} vectors for {len(texts)} texts.",
                next_step="use a server that follows OpenAI's /v1/embeddings.",
            )
        return vectors
