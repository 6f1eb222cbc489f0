"""Where the web app shows a file of an artifact."""

from urllib.parse import quote

from agent_assets.store.artifact_store import UNPARTITIONED, ArtifactKey

FILES = "/app/files"


def file_address(key: ArtifactKey, fingerprint: str, name: str) -> str:
    """Path of a file on the server of the HTTP API."""
    parts = (key.pipeline, key.asset, key.partition or UNPARTITIONED, fingerprint)
    return f"{FILES}/{'/'.join(quote(part, safe='') for part in parts)}/{name}"
