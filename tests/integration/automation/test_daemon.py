"""Through the real webserver and daemon: a backfill of the stock dialog, and runs of `agent-assets
refresh`.
"""

import json
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo.database import Database

from agent_assets.automation.daemon_queue import open_queue
from agent_assets.automation.execute import Order
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.errors import EngineFailed
from agent_assets.free_ports import free_port
from agent_assets.mongo.layout import MongoLayout
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.services import running_services
from agent_assets.settings import Settings, load_settings

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


def test_one_failing_elder_does_not_stop_the_others_and_refresh_uses_the_queue(
    mongo_db: Db, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_elders(mongo_db, MongoLayout.service(), load_sample_elders([ADA, BEN]))
    home = {"AGENT_ASSETS_HOME": str(tmp_path), "AGENT_ASSETS_STORE": str(tmp_path / "store")}
    for name, value in {
        **home,
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": mongo_db.name,
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    prepare_dagster_home(settings)
    # Look, and start nothing by itself.
    quiet = tmp_path / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    monkeypatch.setenv("AGENT_ASSETS_AUTOMATION", str(quiet))
    port = free_port()
    with open_instance(settings) as instance, open_queue(instance, settings) as queue:
        assert queue is None  # no daemon yet
    with open_instance(settings) as instance, ExitStack() as still_open:
        with running_services(settings, port=port):
            instance.add_dynamic_partitions("elders", [ADA, BEN, GHOST])
            launched = ask(port, LAUNCH, {"names": [ADA, GHOST, BEN]})["launchPartitionBackfill"]
            assert launched["__typename"] == "LaunchBackfillSuccess", launched
            deadline = time.monotonic() + 240
            while not (
                backfill := instance.get_backfill(launched["backfillId"])
            ).status.value.startswith(  # type: ignore[union-attr]
                ("COMPLETED", "FAILED")
            ):
                assert time.monotonic() < deadline, backfill
                time.sleep(1)
            ends = {run.tags["dagster/partition"]: run.status.value for run in instance.get_runs()}
            _refresh_through_the_queue(instance, settings)
            queue = still_open.enter_context(open_queue(instance, settings))
            assert queue is not None
        with pytest.raises(EngineFailed, match="`agent-assets up` has ended"):
            queue.submit(Order("elder_companion", ADA, ("elder_memories",), {}))
    assert ends == {ADA: "SUCCESS", BEN: "SUCCESS", GHOST: "FAILURE"}
    memories = tmp_path / "store" / "elder_companion" / "elder_memories"
    assert sorted({manifest.parts[-3] for manifest in memories.glob("*/*/manifest.json")}) == [
        BEN,
        ADA,
    ]


def _refresh_through_the_queue(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Two runs of one elder take turns, and a failure is part of the outcome."""
    orders = [
        Order("elder_companion", elder, ("elder_memories",), {}) for elder in (ADA, ADA, GHOST)
    ]
    with open_queue(instance, settings) as queue:
        assert queue is not None
        before = {run.run_id for run in instance.get_runs()}
        queued = queue.submit_all(orders)
    outcomes = queued.follow()
    done = {str(outcome): outcome for outcome in outcomes}
    assert done[f"elder_companion/{ADA}"].stages["elder_memories"][0] == "reused"
    failed = done[f"elder_companion/{GHOST}"].failed
    assert failed is not None and failed.startswith("Elder ghost has no usable answer")
    runs = [r for r in instance.get_run_records() if r.dagster_run.run_id not in before]
    first, second = sorted(
        (record.start_time or 0, record.end_time or 0)
        for record in runs
        if record.dagster_run.tags["dagster/partition"] == ADA
    )
    assert first[1] <= second[0]
