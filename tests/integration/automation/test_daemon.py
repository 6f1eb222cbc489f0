"""A backfill as the UI's dialog starts it, through the real webserver and daemon."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.instance import open_instance, prepare_dagster_home
from agent_assets.services import free_port, running_services
from agent_assets.settings import load_settings
from resources.mongo_config import MongoLayout

Db = Database[dict[str, Any]]
ADA, BEN, GHOST = "frederick-douglass", "benjamin-franklin", "ghost"

LAUNCH = """
mutation Launch($names: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    assetSelection: [{path: ["elder_companion", "elder_memories"]}], partitionNames: $names
  }) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } }
}
"""


def ask(port: int, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer)["data"])


def test_one_failing_elder_does_not_stop_the_others(
    mongo_db: Db, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_elders(mongo_db, MongoLayout.service(), load_sample_elders([ADA, BEN]))
    home = {"AGENT_ASSETS_HOME": str(tmp_path), "AGENT_ASSETS_STORE": str(tmp_path / "store")}
    for name, value in {**home, "MONGODB_URI": mongo_uri, "MONGODB_DATABASE": mongo_db.name}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    prepare_dagster_home(settings)
    port = free_port()
    with open_instance(settings) as instance, running_services(settings, port=port):
        instance.add_dynamic_partitions("elders", [ADA, BEN, GHOST])
        launched = ask(port, LAUNCH, {"names": [ADA, GHOST, BEN]})["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        deadline = time.monotonic() + 240
        while not (backfill := instance.get_backfill(launched["backfillId"])).status.value.startswith(  # type: ignore[union-attr]
            ("COMPLETED", "FAILED")
        ):
            assert time.monotonic() < deadline, backfill
            time.sleep(1)
        ends = {run.tags["dagster/partition"]: run.status.value for run in instance.get_runs()}
    assert ends == {ADA: "SUCCESS", BEN: "SUCCESS", GHOST: "FAILURE"}
    memories = tmp_path / "store" / "elder_companion" / "elder_memories"
    assert sorted({manifest.parts[-3] for manifest in memories.glob("*/*/manifest.json")}) == [BEN, ADA]
