"""Nights and the hours between them, over a real MongoDB and a real Dagster: who is refreshed, when, and why."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fleet import NAMES, SHARED, Fleet, World, materialized
from pymongo.database import Database

from agent_assets.automation import commands, planner, ticks
from agent_assets.automation.commands import Scope
from agent_assets.automation.config import AutomationConfig
from agent_assets.automation.planner import Options, current_plan, with_words
from agent_assets.automation.ticks import Tick
from agent_assets.defs import automation
from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.errors import ConfigError
from agent_assets.planning.history import known_partitions
from agent_assets.settings import load_settings
from resources.mongo import MongoResource
from resources.mongo_config import MongoLayout

Db = Database[dict[str, Any]]
ADA, BEN, SHEN = "frederick-douglass", "benjamin-franklin", "shen-fu"
ELDER = {name for name in NAMES if name not in SHARED}
CONFIG = AutomationConfig.model_validate({"removed_elders": {"max_share": 1.0}})
START = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)


class Town(Fleet):
    """A fleet whose elders live in MongoDB, with a clock and ticks."""

    clock: datetime = START
    config: AutomationConfig = CONFIG

    @property
    def db(self) -> Db:
        assert self.mongo is not None
        return self.mongo.db

    def wait(self, **span: float) -> None:
        self.clock += timedelta(**span)

    def watch(self) -> Tick:
        return ticks.watch(self.installation(), self.instance, self.config, self.clock)

    def night(self) -> Tick:
        date = self.clock.date().isoformat()
        return ticks.night(self.installation(), self.instance, self.config, self.clock, date=date)

    def execute(self, tick: Tick) -> dict[str | None, set[tuple[str, str | None]]]:
        """Run what a tick asked for, as the daemon would."""
        done = {}
        for request in tick.requests:
            elder = request.run.partition
            result = self.materialize(elder, request.assets, tags=tick.run_tags[request.run_key])
            done[elder] = materialized(result, elder)
        return done

    def settle(self) -> None:
        """Nights until nothing is left to do."""
        for _ in range(4):
            self.wait(days=1)
            self.execute(self.night())
        self.wait(hours=1)

    def tell(self, elder: str, text: str, *, moved: bool = True) -> None:
        change: dict[str, Any] = {"answer": text}
        if moved:
            change["updatedAt"] = self.clock
        self.db.answers.update_one({"elderId": elder}, {"$set": change})


@pytest.fixture
def town(mongo_db: Db, mongo_uri: str, tmp_path: Path) -> Iterator[Town]:
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    mongo_db.answers.create_index([("elderId", 1), ("updatedAt", 1), ("createdAt", 1)])
    seed_elders(mongo_db, MongoLayout.service(), load_sample_elders([ADA, BEN]))
    mongo = MongoResource(uri=mongo_uri, database=mongo_db.name)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Town(instance, tmp_path, World(), mongo)
    mongo.close()


def test_a_new_database_is_built_by_ticks_alone(town: Town) -> None:
    first = town.watch()
    assert [request.run.partition for request in first.requests] == [None]  # elders are still in their debounce
    assert known_partitions(town.instance, "elders") == [BEN, ADA]
    assert "2 elders changed a moment ago" in first.message
    town.execute(first)
    town.wait(minutes=5)
    second = town.watch()
    assert {request.run.partition for request in second.requests} == {ADA, BEN}
    town.execute(second)
    town.wait(minutes=5)
    third = town.watch()
    assert third.requests == () and "0 runs requested" in third.message


def test_a_quiet_night_starts_nothing(town: Town) -> None:
    town.settle()
    tick = town.night()
    assert tick.requests == () and tick.snapshot.plan.cells == ()


def test_one_new_story_moves_one_elder_and_the_tick_says_why(town: Town) -> None:
    town.settle()
    town.tell(ADA, "I learned to read from the boys of the street.")
    assert town.watch().requests == ()  # still writing
    town.wait(minutes=5)
    tick = town.watch()
    (request,) = tick.requests
    assert (request.run.partition, set(request.assets)) == (ADA, ELDER)
    tags = tick.run_tags[request.run_key]
    assert tags["agent_assets/elder"] == ADA and tags["agent_assets/gpu"] == "true"
    assert tags["agent_assets/cause"] == "elder_memories: 1 memory edited"
    assert "elder_memories: 1 memory edited" in tick.message
    assert town.watch().requests == ()  # asked for a moment ago
    assert town.execute(tick)[ADA] == {(name, ADA) for name in ELDER}
    town.wait(minutes=10)
    assert town.watch().requests == ()


def test_touch_without_change_rebuilds_nothing(town: Town) -> None:
    town.settle()
    town.db.answers.update_many({}, {"$set": {"updatedAt": town.clock}})
    town.wait(minutes=5)
    assert town.watch().requests == () and town.watch().snapshot.plan.cells == ()


def test_the_night_finds_what_writers_forgot_to_date(town: Town) -> None:
    town.settle()
    town.tell(ADA, "Nobody moved the date of this one.", moved=False)
    town.wait(minutes=5)
    assert town.watch().requests == ()
    town.wait(days=1)
    tick = town.night()
    assert [request.run.partition for request in tick.requests] == [ADA]


def test_deletes_profiles_and_questions_are_seen(town: Town) -> None:
    town.settle()
    town.db.answers.delete_one({"elderId": ADA})
    town.db.elders.update_one({"elderId": BEN}, {"$set": {"hobby": "chess"}})
    town.wait(minutes=5)
    tick = town.watch()
    assert {request.run.partition for request in tick.requests} == set()  # marks moved just now
    town.wait(minutes=5)
    tick = town.watch()
    causes = {tags["agent_assets/cause"] for tags in tick.run_tags.values()}
    assert causes == {"elder_memories: 1 memory removed", "elder_memories: profile changed"}
    town.execute(tick)
    town.wait(minutes=10)
    question = town.db.answers.find_one({"elderId": ADA}, {"questionId": 1})
    assert question is not None
    town.db.questions.update_one({"_id": question["questionId"]}, {"$set": {"questionText": "Asked anew?"}})
    tick = town.watch()
    assert [request.run.partition for request in tick.requests] == [ADA]


def test_edit_then_revert_rebuilds_nothing(town: Town) -> None:
    town.settle()
    before = town.db.answers.find_one({"elderId": ADA})
    assert before is not None
    town.tell(ADA, "Something else.")
    town.wait(minutes=5)
    town.watch()
    town.wait(minutes=5)
    town.execute(town.watch())
    town.db.answers.update_one({"_id": before["_id"]}, {"$set": {"answer": before["answer"], "updatedAt": town.clock}})
    town.wait(minutes=5)
    town.watch()
    town.wait(minutes=5)
    town.world.built.clear()
    tick = town.watch()
    town.execute(tick)
    assert town.world.built == []
    town.wait(minutes=10)
    assert town.watch().snapshot.plan.cells == ()


def test_the_cap_leaves_the_rest_to_the_next_tick(town: Town) -> None:
    town.config = AutomationConfig.model_validate({"nightly": {"max_runs_per_tick": 1}, "watch": {"debounce_s": 0}})
    town.execute(town.night())
    town.wait(minutes=10)
    first = town.night()
    assert len(first.requests) == 1 and "1 wait (over the limit of this tick)" in first.message
    town.execute(first)
    second = town.watch()
    assert len(second.requests) == 1
    assert {r.run.partition for r in (*first.requests, *second.requests)} == {ADA, BEN}


def test_two_schedules_at_once_ask_for_nothing_twice(town: Town) -> None:
    town.execute(town.night())
    town.wait(minutes=10)
    keys = [request.run_key for tick in (town.night(), town.night(), town.watch()) for request in tick.requests]
    assert len(keys) == len(set(keys)) == 2


def test_a_run_that_fails_is_tried_once_per_change_and_once_per_night(town: Town) -> None:
    town.settle()
    town.world.failing = {("sft_adapter", ADA)}
    town.tell(ADA, "A story that cannot be trained on.")
    town.watch()
    town.wait(minutes=10)
    town.execute(town.watch())
    for _ in range(3):
        town.wait(minutes=10)
        tick = town.watch()
        assert tick.requests == () and "tried without success" in tick.message
    town.wait(days=1)
    again = town.night()
    assert [(r.run.partition, r.assets[0]) for r in again.requests] == [(ADA, "sft_adapter")]
    town.wait(minutes=10)
    town.tell(BEN, "Others go on.")
    town.watch()
    town.wait(minutes=10)
    assert [r.run.partition for r in town.watch().requests] == [BEN]


def test_a_shared_asset_that_cannot_be_renewed_does_not_stop_elders(town: Town) -> None:
    town.settle()
    town.world.servers = "lookup and price"
    town.world.failing = {("mcp_tool_schema", None)}
    town.tell(ADA, "A new story.")
    town.config = CONFIG.model_copy(update={"watch": CONFIG.watch.model_copy(update={"shared_sources_s": 0.0})})
    first = town.watch()
    assert {request.run.partition for request in first.requests} == {None}
    town.execute(first)
    town.wait(minutes=10)
    second = town.watch()
    assert {request.run.partition for request in second.requests} == {ADA}


def test_an_elder_who_left_loses_the_partition_and_leaves_nothing_to_inherit(town: Town) -> None:
    town.settle()
    answers = list(town.db.answers.find({"elderId": ADA}))
    town.db.answers.delete_many({"elderId": ADA})
    tick = town.watch()
    assert tick.requests == () and "1 elders gone but kept: absent for too short" in tick.message
    town.wait(days=8)
    assert "1 elders removed" in town.watch().message
    assert known_partitions(town.instance, "elders") == [BEN]
    town.db.answers.insert_many(answers)
    town.watch()
    town.wait(minutes=10)
    tick = town.watch()
    assert known_partitions(town.instance, "elders") == [BEN, ADA]
    assert {request.run.partition for request in tick.requests} == {ADA}
    assert {cell.status.value for cell in tick.snapshot.plan.cells} == {"missing"}
    town.world.built.clear()
    town.execute(tick)
    assert {(name, ADA) for name in ELDER - {"elder_memories"}} == set(town.world.built)


def test_removal_can_be_switched_off_and_never_takes_everybody(town: Town) -> None:
    town.settle()
    town.db.answers.delete_many({})
    town.config = AutomationConfig.model_validate({"removed_elders": {"policy": "keep"}})
    town.watch()
    town.wait(days=30)
    assert "2 elders gone but kept: policy keep" in town.watch().message
    town.config = AutomationConfig()
    assert "2 elders gone but kept: more than 20% are gone at once" in town.watch().message
    assert len(known_partitions(town.instance, "elders")) == 2


def test_an_elder_deleted_while_the_run_is_going(town: Town) -> None:
    town.settle()
    town.tell(ADA, "The last story.")
    town.watch()
    town.wait(minutes=10)
    tick = town.watch()
    town.db.answers.delete_many({"elderId": ADA})
    assert town.execute(tick)[ADA] == set()  # it fails, with nothing half-written
    town.wait(minutes=10)
    assert town.watch().requests == ()
    town.wait(days=1)
    assert town.night().requests == ()


def test_odd_ids_are_counted_once_per_tick_and_others_go_on(town: Town) -> None:
    town.db.answers.insert_many(
        [{"elderId": odd, "questionId": "q", "answer": "text"} for odd in ("", "a/b", 7, None, "x" * 65)]
    )
    town.db.elders.insert_one({"elderId": BEN, "name": "Ben again"})
    town.db.answers.insert_one({"elderId": "silent", "questionId": "q", "answer": ""})
    town.settle()
    tick = town.night()
    assert tick.snapshot.plan.cells == () and tick.snapshot.plan.fresh == 3 + 2 * 5
    for words in ("5 ids that cannot be used", "1 ids or profiles twice", "1 elders without a usable answer"):
        assert f"fleet: {words}" in tick.message


def test_a_clock_set_back_delays_nobody(town: Town) -> None:
    town.settle()
    town.tell(ADA, "Told before the clock was set back.")
    town.watch()
    town.wait(days=-30)
    town.watch()
    town.wait(minutes=5)
    assert [request.run.partition for request in town.watch().requests] == [ADA]


def test_mongodb_away_is_said_and_the_rest_goes_on(town: Town) -> None:
    town.mongo = MongoResource(uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200", database="none")
    tick = town.watch()
    assert [request.run.partition for request in tick.requests] == [None]
    assert "elders of fleet: MongoDB at 127.0.0.1:9 did not answer" in tick.message


def test_the_plan_in_words_and_its_summary_in_the_ui(town: Town) -> None:
    town.settle()
    town.world.settings["sft_adapter"] = 4
    town.db.answers.insert_one(
        {"elderId": ADA, "questionId": town.db.questions.find_one()["_id"], "answer": "More.", "userId": "x"}  # type: ignore[index]
    )
    installation = town.installation()
    snapshot = current_plan(installation, town.instance, now=town.clock.timestamp(), options=Options())
    words = {(c.asset, c.partition): c.causes[0].detail for c in with_words(installation, snapshot).cells}
    assert words["elder_memories", ADA].startswith(("1 memory", "profile"))
    assert words["sft_adapter", BEN] == "sft_adapter.setting 0 -> 4"
    town.night()
    key = town.spec.key("sft_adapter")
    (observation,) = town.instance.fetch_observations(key, limit=1).records
    metadata = observation.asset_observation.metadata  # type: ignore[union-attr]
    assert metadata["planned_stale"].value == 2
    assert metadata["planned_causes"].value == ["sft_adapter.setting 0 -> 4 (2)"]


@pytest.fixture
def commanded(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """The commands work on the town's instant pipeline instead of those in `defs/`."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    monkeypatch.setattr(commands, "load_installation", lambda settings: town.installation())
    monkeypatch.setattr(commands, "_definitions", town.definitions)
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(town.folder / "home"))
    monkeypatch.setenv("MONGODB_URI", str(town.mongo and town.mongo.uri))
    return town


def test_plan_refresh_and_plan_again_from_the_terminal(commanded: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.refresh(load_settings(), Scope(), dry_run=True) == 0
    assert commanded.world.built == []
    assert commands.refresh(load_settings(), Scope(), dry_run=False) == 0
    assert "3 runs: 13 artifacts built, 0 reused, 0 skipped; 0 runs failed" in capsys.readouterr().out
    commanded.tell(ADA, "A new story.")
    assert commands.show_plan(load_settings(), Scope(elders=(ADA,)), as_json=True, with_fresh=False) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == [{"pipeline": "fleet", "partition": ADA, "assets": [n for n in NAMES if n in ELDER]}]
    assert plan["cells"][0] == {
        "pipeline": "fleet",
        "asset": "elder_memories",
        "partition": ADA,
        "status": "stale",
        "causes": [{"kind": "data", "input": "mongodb", "detail": "1 memory edited"}],
    }
    assert commands.refresh(load_settings(), Scope(elders=(ADA,)), dry_run=False) == 0
    assert commands.show_plan(load_settings(), Scope(), as_json=False, with_fresh=False) == 0
    assert "Everything is fresh (13 artifacts)." in capsys.readouterr().out


def test_a_backfill_builds_what_is_stale_and_one_failure_stops_nobody(
    commanded: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    commanded.world.failing = {("sft_adapter", BEN)}
    assert commands.backfill(load_settings(), Scope(), pattern=None, dry_run=False) == 1
    out = capsys.readouterr().out
    assert "3 runs: 10 artifacts built, 0 reused, 0 skipped; 1 runs failed" in out
    assert f"failed: fleet/{BEN}: sft_adapter failed." in out
    commanded.world.failing = set()
    commanded.world.built.clear()
    assert commands.backfill(load_settings(), Scope(), pattern="*", dry_run=False) == 0
    assert set(commanded.world.built) == {(name, BEN) for name in ("sft_adapter", "merged_model", "eval_report")}
    with pytest.raises(ConfigError, match="There is no elder 'nobody'"):
        commands.backfill(load_settings(), Scope(elders=("nobody",)), pattern=None, dry_run=False)


def test_prune_from_the_terminal_keeps_what_is_in_use(commanded: Town, capsys: pytest.CaptureFixture[str]) -> None:
    commands.refresh(load_settings(), Scope(), dry_run=False)
    assert commands.prune_store(load_settings(), dry_run=False) == 0
    assert "0 versions and 0 temporary folders removed" in capsys.readouterr().out
    commanded.world.built.clear()
    commands.refresh(load_settings(), Scope(), dry_run=False)
    assert commanded.world.built == []


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
        dg.Definitions(sensors=[automation.build_sensor(config)], schedules=[automation.build_schedule(config)]),
    )
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:

        def night() -> list[dg.RunRequest]:
            context = dg.build_schedule_context(
                instance=instance, scheduled_execution_time=datetime.now(UTC), repository_def=repository
            )
            schedule = repository.get_schedule_def("nightly_refresh")
            return list(schedule.evaluate_tick(context).run_requests or [])

        def watch() -> list[dg.RunRequest]:
            context = dg.build_sensor_context(instance_ref=instance.get_ref(), repository_def=repository)
            return list(repository.get_sensor_def("elders_sensor").evaluate_tick(context).run_requests or [])

        def run(requests: list[dg.RunRequest], job: str) -> list[str | None]:
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
        tick = sensor.evaluate_tick(dg.build_sensor_context(instance_ref=instance.get_ref(), repository_def=repository))
        assert sorted(request.tags["agent_assets/pipeline"] for request in tick.run_requests or []) == [
            "elder_companion",
            "energy_expert",
        ]
        assert known_partitions(instance, "elders") == [ADA]
        schedule = repository.get_schedule_def("nightly_refresh")
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.now(UTC), repository_def=repository
        )
        assert schedule.evaluate_tick(context).run_requests == []  # both were asked for a moment ago
