"""The artifact store as a Dagster resource."""

from pathlib import Path

import dagster as dg

from agent_assets.store.artifact_store import ArtifactStore


class StoreResource(dg.ConfigurableResource[ArtifactStore]):
    """Where artifacts live: a local folder or an fsspec URL, and a cache folder for the latter."""

    root: str
    cache: str

    def open(self) -> ArtifactStore:
        """The store. Cheap: nothing is read until an artifact is looked up."""
        return ArtifactStore(self.root, cache=Path(self.cache))
