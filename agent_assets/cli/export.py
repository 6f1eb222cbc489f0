"""Training rows in the three row formats."""

from typing import TextIO

from agent_assets.conversations.formats import from_swift, to_openai, to_sharegpt, to_swift
from agent_assets.conversations.messages import canonical_json, read_json_lines
from agent_assets.data import materialized_artifact
from agent_assets.errors import StoreError
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import artifact_keys
from agent_assets.store.partition_keys import as_partition_key

ROWS = "train_jsonl"
CONVERTERS = {"swift": to_swift, "sharegpt": to_sharegpt, "openai": to_openai}


def export_rows(settings: Settings, agent: str, form: str, output: TextIO) -> int:
    """Write the latest train.jsonl of an agent (`pipeline` or `pipeline/elder`) in one format.

    Returns:
        The number of rows.

    Raises:
        StoreError: that agent has no training rows.
        CorruptArtifact: they were damaged.
    """
    pipeline, _, elder = agent.partition("/")
    key = ArtifactKey(pipeline, ROWS, as_partition_key(elder) or None)
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        artifact = materialized_artifact(settings, instance, key)
    if artifact is None:
        store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
        keys = [key for key in artifact_keys(store) if key.asset == ROWS]
        agents = ", ".join(
            f"{key.pipeline}/{key.partition}" if key.partition else key.pipeline for key in keys
        )
        raise StoreError(
            f"There are no training rows of {agent}.",
            next_step=f"choose from {agents}."
            if agents
            else f"materialize {key} first, or run `agent-assets demo`.",
        )
    store.verify(artifact)  # half of them would pass for all
    count = 0
    for row in read_json_lines(artifact.path / "train.jsonl"):
        output.write(canonical_json(CONVERTERS[form](from_swift(row))) + "\n")
        count += 1
    return count
