"""Nights and the hours between them, over a real MongoDB and a real Dagster: who is refreshed,
when, and why.
"""

from agent_assets.automation.planner import Options, current_plan, with_words
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.planning.history import known_partitions
from support.town import ADA, BEN, ELDER, Town


def test_a_new_database_is_built_by_ticks_alone(town: Town) -> None:
    first = town.watch()
    assert [request.run.partition for request in first.requests] == [
        None
    ]  # elders are still in their debounce
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
    town.on_materialized()
    tick = town.night()
    assert tick.requests == () and tick.snapshot.plan.asset_partitions == ()


def test_one_new_story_moves_one_elder_and_the_tick_says_why(town: Town) -> None:
    town.on_materialized()
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
    town.on_materialized()
    town.db.answers.update_many({}, {"$set": {"updatedAt": town.clock}})
    town.wait(minutes=5)
    assert town.watch().requests == () and town.watch().snapshot.plan.asset_partitions == ()


def test_the_night_finds_what_writers_forgot_to_date(town: Town) -> None:
    town.on_materialized()
    town.tell(ADA, "Nobody moved the date of this one.", moved=False)
    town.wait(minutes=5)
    assert town.watch().requests == ()
    town.wait(days=1)
    tick = town.night()
    assert [request.run.partition for request in tick.requests] == [ADA]


def test_deletes_profiles_and_questions_are_seen(town: Town) -> None:
    town.on_materialized()
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
    town.db.questions.update_one(
        {"_id": question["questionId"]}, {"$set": {"questionText": "Asked anew?"}}
    )
    tick = town.watch()
    assert [request.run.partition for request in tick.requests] == [ADA]


def test_edit_then_revert_rebuilds_nothing(town: Town) -> None:
    town.on_materialized()
    before = town.db.answers.find_one({"elderId": ADA})
    assert before is not None
    town.tell(ADA, "Something else.")
    town.wait(minutes=5)
    town.watch()
    town.wait(minutes=5)
    town.execute(town.watch())
    town.db.answers.update_one(
        {"_id": before["_id"]}, {"$set": {"answer": before["answer"], "updatedAt": town.clock}}
    )
    town.wait(minutes=5)
    town.watch()
    town.wait(minutes=5)
    town.world.built.clear()
    tick = town.watch()
    town.execute(tick)
    assert town.world.built == []
    town.wait(minutes=10)
    assert town.watch().snapshot.plan.asset_partitions == ()


def test_a_clock_set_back_delays_nobody(town: Town) -> None:
    town.on_materialized()
    town.tell(ADA, "Told before the clock was set back.")
    town.watch()
    town.wait(days=-30)
    town.watch()
    town.wait(minutes=5)
    assert [request.run.partition for request in town.watch().requests] == [ADA]


def test_mongodb_away_is_said_and_the_rest_goes_on(town: Town) -> None:
    town.mongo = MemoryDatabase(
        uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200", database="none"
    )
    tick = town.watch()
    assert [request.run.partition for request in tick.requests] == [None]
    assert "elders of fleet: MongoDB at 127.0.0.1:9 did not answer" in tick.message


def test_the_plan_in_words_and_its_summary_in_the_ui(town: Town) -> None:
    town.on_materialized()
    town.world.settings["sft_adapter"] = 4
    town.db.answers.insert_one(
        {
            "elderId": ADA,
            "questionId": town.db.questions.find_one()["_id"],  # type: ignore[index]
            "answer": "More.",
            "userId": "x",
        }
    )
    installation = town.installation()
    snapshot = current_plan(
        installation, town.instance, now=town.clock.timestamp(), options=Options()
    )
    words = {
        (c.asset, c.partition): c.causes[0].detail
        for c in with_words(installation, snapshot).asset_partitions
    }
    assert words["elder_memories", ADA].startswith(("1 memory", "profile"))
    assert words["sft_adapter", BEN] == "sft_adapter.setting 0 -> 4"
    town.night()
    key = town.spec.key("sft_adapter")
    (observation,) = town.instance.fetch_observations(key, limit=1).records
    metadata = observation.asset_observation.metadata  # type: ignore[union-attr]
    assert metadata["planned_stale"].value == 2
    assert metadata["planned_causes"].value == ["sft_adapter.setting 0 -> 4 (2)"]
