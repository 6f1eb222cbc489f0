"""Training rows in the three row formats."""

import json
import sys
from pathlib import Path

import dagster as dg

from agent_assets.conversations.formats import from_swift, to_openai, to_sharegpt, to_swift
from agent_assets.conversations.messages import canonical_json
from agent_assets.errors import StoreError
from agent_assets.instance import open_instance
from agent_assets.planning.history import latest_materialization
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore

CONVERTERS = {"swift": to_swift, "sharegpt": to_sharegpt, "openai": to_openai}


def export_rows(settings: Settings, agent: str, form: str, output: Path | None) -> int:
    """Write the latest train.jsonl of an agent (`pipeline` or `pipeline/elder`) in one format.

    Returns:
        The number of rows.

    Raises:
        StoreError: that agent has no training rows.
    """
    pipeline, _, elder = agent.partition("/")
    key = ArtifactKey(pipeline, "train_jsonl", elder or None)
    with open_instance(settings) as instance:
        recorded = latest_materialization(instance, dg.AssetKey([pipeline, "train_jsonl"]), key.partition)
    store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
    artifact = None if recorded is None else store.find(key, recorded.fingerprint)
    if artifact is None:
        raise StoreError(
            f"{key} has no training rows.",
            next_step="name an agent as `pipeline` or `pipeline/elder`, and materialize its train_jsonl first.",
        )
    lines = (artifact.path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [canonical_json(CONVERTERS[form](from_swift(json.loads(line)))) for line in lines]
    text = "".join(row + "\n" for row in rows)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    return len(rows)
