"""The artifact store as a Dagster resource."""

from pathlib import Path

import dagster as dg

from agent_assets.resources.fixed import NO_CONFIG
from agent_assets.store.artifact_store import ArtifactStore


class StoreResource(dg.ResourceDefinition):
    """`context.resources.store` is an `ArtifactStore`.

    Args:
        root: where artifacts live: a local folder or an fsspec URL.
        cache: a local folder for copies of the latter.
    """

    def __init__(self, *, root: str, cache: str) -> None:
        super().__init__(
            # Cheap: nothing is read until an artifact is looked up.
            resource_fn=lambda _: ArtifactStore(root, cache=Path(cache)),
            config_schema=NO_CONFIG,
            description="Where artifacts live (AGENT_ASSETS_STORE).",
        )
