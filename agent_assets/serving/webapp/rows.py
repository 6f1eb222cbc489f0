"""The rows that an agent would learn from now: those of the latest materialization."""

import dagster as dg

from agent_assets.planning.history import latest_materialization
from agent_assets.serving.context import Services
from agent_assets.store.artifact_store import Artifact, ArtifactKey

_ROWS = "train_jsonl"


def latest_rows(serving: Services, pipeline: str, agent_id: str) -> Artifact | None:
    """The artifact, None where rows were never made. It blocks."""
    partition = None if agent_id == pipeline else agent_id
    asset = dg.AssetKey([pipeline, _ROWS])
    recorded = latest_materialization(serving.jobs.instance, asset, partition)
    if recorded is None:
        return None
    key = ArtifactKey(pipeline, _ROWS, partition)
    return serving.released.store.find(key, recorded.fingerprint)
