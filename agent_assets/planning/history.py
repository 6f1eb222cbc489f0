"""What Dagster recorded: the one module of this room that reads a Dagster instance."""

from dataclasses import dataclass

import dagster as dg

FINGERPRINT_TAG = "agent_assets/fingerprint"
DATA_VERSION_TAG = "dagster/data_version"


@dataclass(frozen=True)
class Recorded:
    """The latest materialization of an asset, or of one of its partitions."""

    fingerprint: str
    data_version: str


def latest_materialization(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> Recorded | None:
    """The latest materialization of `key` (of its partition `partition`), or None if there is none."""
    partitions = None if partition is None else [partition]
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions), limit=1
    )
    if not records.records:
        return None
    materialization = records.records[0].asset_materialization
    if materialization is None or materialization.tags is None:
        return None
    tags = materialization.tags
    if FINGERPRINT_TAG not in tags or DATA_VERSION_TAG not in tags:
        return None
    return Recorded(fingerprint=tags[FINGERPRINT_TAG], data_version=tags[DATA_VERSION_TAG])
