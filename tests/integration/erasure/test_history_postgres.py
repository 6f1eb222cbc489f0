"""Forgetting an elder where Dagster's history lies on PostgreSQL."""

import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import sqlalchemy as db
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from agent_assets.erasure.place import Scene
from agent_assets.erasure.places.history import History
from agent_assets.erasure.request import ErasureRequest
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings, load_settings
from support.fleet import Fleet, asset_partitions
from support.history_scan import texts

ELDER, OTHER = "eleanor-zquist", "ben"


def rows_with(url: str, word: str) -> list[str]:
    """`table.column` of every value that names somebody."""
    engine = db.create_engine(url, poolclass=db.NullPool)
    metadata = db.MetaData()
    with engine.connect() as connection:
        metadata.reflect(connection)
        return [
            f"{table.name}.{name}"
            for table in metadata.tables.values()
            for row in connection.execute(db.select(table)).mappings()
            for name, cell in row.items()
            if any(word in text for text in texts(cell))
        ]


def scene_of(settings: Settings, fleet: Fleet) -> Scene:
    graphs = [SimpleNamespace(name=fleet.spec.config.name)]
    request = ErasureRequest(elder=ELDER, who="eve")
    installation = SimpleNamespace(graphs=graphs)
    scene = SimpleNamespace(settings=settings, installation=installation, request=request)
    return cast(Scene, scene)


def test_no_table_names_the_elder_and_nothing_of_others_becomes_stale(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    settings = load_settings(
        {"AGENT_ASSETS_HOME": str(tmp_path), "DAGSTER_POSTGRES_URL": postgres_url}
    )
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        fleet = Fleet(instance, tmp_path)
        for elder in (OTHER, ELDER):
            fleet.add(elder, "a story")
            fleet.materialize(elder, ["elder_memories"])
        instance.add_backfill(both_elders(fleet))
        before = Counter(rows_with(postgres_url, OTHER))
        assert {name.split(".")[0] for name in rows_with(postgres_url, ELDER)} >= {
            "event_logs",
            "runs",
            "run_tags",
            "bulk_actions",
            "dynamic_partitions",
        }
        history, scene = History(), scene_of(settings, fleet)
        assert history.items(scene)
        history.remove(scene)
        assert rows_with(postgres_url, ELDER) == [] and history.items(scene) == []
        left = Counter(rows_with(postgres_url, OTHER))
        assert left - before == Counter(["asset_keys.last_materialization"])  # the latest now
        assert not before - left
        assert "write-ahead" in "".join(history.out_of_reach(scene))
        del fleet.world.memories[ELDER]
        assert ("elder_memories", OTHER) not in asset_partitions(fleet.plan())
        fleet.add(ELDER, "a story told again")
        assert ("elder_memories", ELDER) in asset_partitions(fleet.plan())


def both_elders(fleet: Fleet) -> PartitionBackfill:
    return PartitionBackfill(
        backfill_id="b1",
        status=BulkActionStatus.COMPLETED_SUCCESS,
        from_failure=False,
        tags={},
        backfill_timestamp=0.0,
        asset_selection=[fleet.spec.key("train_jsonl")],
        partition_names=[OTHER, ELDER],
    )
