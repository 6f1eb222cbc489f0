"""Artifacts for tests: complete in the store, with nothing built."""

from typing import Any

from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.manifest import Manifest, content_version, hash_files


def add_artifact(
    store: ArtifactStore,
    key: ArtifactKey,
    fingerprint: str,
    files: dict[str, str | bytes],
    **more: Any,
) -> Artifact:
    """Commit an artifact with these files, by relative path; `more` are fields of its manifest."""
    with store.staging(key, fingerprint) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        hashes = hash_files(folder)
        known: dict[str, Any] = {
            "pipeline": key.pipeline,
            "asset": key.asset,
            "partition": key.partition,
            "fingerprint": fingerprint,
            "data_version": content_version(hashes),
            "code_version": "1",
            "inputs": {},
            "config": {},
            "files": hashes,
            "created_at": "2026-01-01T00:00:00+00:00",
        }
        return store.commit(key, folder, Manifest.model_validate(known | more))
