"""What the UI shows about an artifact: numbers, plots and where it lies. Never memory text."""

from collections.abc import Mapping
from typing import TypeAlias

import dagster as dg

from agent_assets.evaluation.pages.plots import png_markdown
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import Artifact
from agent_assets.store.web_addresses import file_address

Metadata: TypeAlias = dict[str, dg.MetadataValue | str | int | float]

# Metadata lives in Dagster's database: a plot over this size stays in the store and is linked by
# its path only.
_MAX_PLOT_BYTES = 100_000


def artifact_metadata(artifact: Artifact, *, reused: bool, why: str) -> Metadata:
    """Metadata of one materialization, built from the manifest alone, so that a reused artifact
    shows the same.
    """
    manifest = artifact.manifest
    metadata: Metadata = {
        "outcome": "reused" if reused else "built",
        "why": why,
        "device": manifest.device,
        "seconds": 0.0 if reused else manifest.seconds,
        "build_seconds": manifest.seconds,
        "fingerprint": manifest.fingerprint,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "path": dg.MetadataValue.path(str(artifact.path)),
    }
    metadata |= plain_metadata(manifest.summary)
    if manifest.engine is not None:
        metadata["engine"] = dg.MetadataValue.json(manifest.engine.model_dump())
    if manifest.weights_loaded is not None:
        metadata["weights_loaded"] = dg.MetadataValue.json(manifest.weights_loaded)
    for name in manifest.files:
        path = artifact.path / name
        if (
            name.startswith("plots/")
            and name.endswith(".png")
            and path.stat().st_size <= _MAX_PLOT_BYTES
        ):
            metadata[path.stem] = dg.MetadataValue.md(png_markdown(path.read_bytes(), path.stem))
        elif name.startswith("plots/") and name.endswith(".md"):
            metadata[path.stem] = dg.MetadataValue.md(path.read_text(encoding="utf-8"))
        elif name == "report.html":
            address = file_address(artifact.key, manifest.fingerprint, name)
            metadata["report"] = dg.MetadataValue.url(load_settings().api_url + address)
    return metadata


def plain_metadata(values: Mapping[str, object]) -> Metadata:
    """Numbers, texts and JSON as Dagster metadata."""
    return {name: _value(value) for name, value in values.items()}


def _value(value: object) -> dg.MetadataValue | str | int | float:
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    if isinstance(value, str | int | float | dg.MetadataValue):  # a bool is an int, and stays one
        return value
    return "none" if value is None else str(value)
