"""Dagster on PostgreSQL: the instance of runs/dagster-postgres.yaml, and everything the plan
reads from it.
"""

import logging
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.automation.summary import report_summary
from agent_assets.planning.history import DagsterLog, active_runs, started_keys
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import load_settings
from support.fleet import NAMES, SHARED, Fleet, asset_partitions


def test_plan_refresh_and_plan_again(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    settings = load_settings(
        {"AGENT_ASSETS_HOME": str(tmp_path), "DAGSTER_POSTGRES_URL": postgres_url}
    )
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        assert type(instance.event_log_storage).__module__.startswith("dagster_postgres")
        fleet = Fleet(instance, tmp_path)
        for elder in ("ada", "ben"):
            fleet.add(elder, "a story")
        assert len(fleet.plan().asset_partitions) == 13
        assert len(fleet.refresh()) == 13
        assert fleet.plan().asset_partitions == () and fleet.plan().fresh == 13
        fleet.world.memories["ada"] = "another story"
        plan = fleet.plan()
        assert asset_partitions(plan) == {(name, "ada") for name in NAMES if name not in SHARED}
        assert report_summary(instance, fleet.index, plan) == 8
        (run,) = plan.runs
        fleet.materialize("ada", run.assets, tags={"dagster/run_key": "key"})
        assert started_keys(instance, ["key", "other"]) == {"key"}
        assert active_runs(instance) == []
        assert fleet.plan().asset_partitions == ()
        before = DagsterLog(instance).database_id
        fleet.instance.wipe_assets([fleet.spec.key("eval_report")])
        assert {entry.asset for entry in fleet.plan().asset_partitions} == {"eval_report"}
    with open_instance(settings) as instance:
        assert DagsterLog(instance).database_id == before
        assert isinstance(instance.run_coordinator, dg.QueuedRunCoordinator)
