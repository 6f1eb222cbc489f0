"""An embedding model in a local folder: `model.onnx` and `tokenizer.json`, run by ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent_assets.errors import ConfigError
from agent_assets.retrieval.config import EmbeddingConfig
from agent_assets.retrieval.embedder import Vectors, normalised

ONNX_MODEL, ONNX_TOKENIZER = "model.onnx", "tokenizer.json"
BATCH = 32
MAX_TOKENS = 512


class OnnxEmbedder:
    """Mean of the last hidden states over the tokens, as E5, GTE and most others pool."""

    def __init__(self, folder: Path, config: EmbeddingConfig, digest: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                f"ONNX Runtime, which runs the embedding model {folder}, is not installed.",
                next_step="pip install 'agent-assets[onnx]'.",
            ) from error
        from tokenizers import Tokenizer

        self.model_hash = digest
        self._config = config
        self._tokenizer = Tokenizer.from_file(str(folder / ONNX_TOKENIZER))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._session = onnxruntime.InferenceSession(
            folder / ONNX_MODEL, providers=["CPUExecutionProvider"]
        )
        self._inputs = {entry.name for entry in self._session.get_inputs()}

    def queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.queries`."""
        return self._vectors([self._config.query_prefix + text for text in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.passages`."""
        return self._vectors([self._config.passage_prefix + text for text in texts])

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        batches = [self._run(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        return normalised(np.concatenate(batches))

    def _run(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([entry.attention_mask for entry in encoded], dtype=np.int64)
        features = {
            "input_ids": np.array([entry.ids for entry in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        inputs = {name: value for name, value in features.items() if name in self._inputs}
        hidden = np.asarray(self._session.run(None, inputs)[0], dtype=np.float32)
        weights = mask[:, :, None].astype(np.float32)
        return np.asarray((hidden * weights).sum(axis=1) / weights.sum(axis=1), dtype=np.float32)
