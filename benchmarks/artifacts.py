"""Artifacts that benchmarks put into a store themselves, as a stage would leave them."""

from pathlib import Path
from typing import Any

from agent_assets.store.artifact_store import ArtifactKey
from agent_assets.store.manifest import Manifest, content_version, hash_files


def manifest_of(key: ArtifactKey, fingerprint: str, folder: Path, **more: Any) -> Manifest:
    """The manifest of what lies in a folder; `more` are further fields of it."""
    files = hash_files(folder)
    known: dict[str, Any] = {
        "inputs": {},
        "config": {},
        "created_at": "",
        "code_version": "1",
        "pipeline": key.pipeline,
        "asset": key.asset,
        "partition": key.partition,
        "fingerprint": fingerprint,
        "files": files,
        "data_version": content_version(files),
    }
    return Manifest.model_validate(known | more)
