"""The schedule and the sensor as Dagster evaluates them."""

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.automation import planner
from agent_assets.automation.config import AutomationConfig
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.mongo.layout import MongoLayout
from agent_assets.planning.history import known_partitions
from agent_assets.sensors import automation
from support.town import ADA, BEN, Db, Town


def test_dagster_takes_and_runs_what_schedule_and_sensor_ask_for(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster").mkdir()
    config = AutomationConfig.model_validate({"watch": {"debounce_s": 0}})
    monkeypatch.setattr(planner, "load_installation", lambda settings: town.installation())
    days = iter(range(1, 9))

    class Ahead(datetime):
        """A clock that goes on a day per tick."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=next(days))

    monkeypatch.setattr(automation, "datetime", Ahead)
    definitions = dg.Definitions.merge(
        town.definitions(),
        dg.Definitions(
            sensors=[automation.build_sensor(config)], schedules=[automation.build_schedule(config)]
        ),
    )
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:

        def night() -> list[dg.RunRequest]:
            context = dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=datetime.now(UTC),
                repository_def=repository,
            )
            schedule = repository.get_schedule_def("nightly_refresh")
            return list(schedule.evaluate_tick(context).run_requests or [])

        def watch() -> list[dg.RunRequest]:
            context = dg.build_sensor_context(
                instance_ref=instance.get_ref(), repository_def=repository
            )
            return list(
                repository.get_sensor_def("elders_sensor").evaluate_tick(context).run_requests or []
            )

        def run(requests: list[dg.RunRequest], job: str) -> list[str]:
            for request in requests:
                result = definitions.resolve_job_def(job).execute_in_process(
                    instance=instance,
                    partition_key=request.partition_key,
                    asset_selection=list(request.asset_selection or []),
                    tags=dict(request.tags),
                )
                assert result.success
            return sorted(str(request.partition_key) for request in requests)

        assert run(night(), "__anonymous_asset_job_nightly_refresh") == ["None"]
        assert run(watch(), "__anonymous_asset_job_elders_sensor") == [BEN, ADA]
        assert watch() == [] and night() == []


def test_the_real_schedule_and_sensor_ask_for_runs_that_dagster_accepts(
    mongo_db: Db, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_elders(mongo_db, MongoLayout.service(), load_sample_elders([ADA]))
    for name, value in {
        "AGENT_ASSETS_HOME": str(tmp_path),
        "AGENT_ASSETS_STORE": str(tmp_path / "store"),
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": mongo_db.name,
    }.items():
        monkeypatch.setenv(name, value)
    from agent_assets.definitions import defs

    repository = defs().get_repository_def()
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        sensor = repository.get_sensor_def("elders_sensor")
        tick = sensor.evaluate_tick(
            dg.build_sensor_context(instance_ref=instance.get_ref(), repository_def=repository)
        )
        assert sorted(
            request.tags["agent_assets/pipeline"] for request in tick.run_requests or []
        ) == [
            "elder_companion",
            "energy_expert",
        ]
        assert known_partitions(instance, "elders") == [ADA]
        schedule = repository.get_schedule_def("nightly_refresh")
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.now(UTC), repository_def=repository
        )
        assert (
            schedule.evaluate_tick(context).run_requests == []
        )  # both were asked for a moment ago


def test_both_run_without_a_click() -> None:
    assert (
        automation.build_schedule(AutomationConfig()).default_status
        is dg.DefaultScheduleStatus.RUNNING
    )
    shipped = automation.defs()
    assert [sensor.default_status for sensor in shipped.sensors or []] == [
        dg.DefaultSensorStatus.RUNNING
    ]
    assert [schedule.default_status for schedule in shipped.schedules or []] == [
        dg.DefaultScheduleStatus.RUNNING
    ]
