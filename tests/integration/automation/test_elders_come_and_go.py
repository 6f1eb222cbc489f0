"""Elders who are removed, come back, or cannot be used."""

from agent_assets.automation.config import AutomationConfig
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.planning.history import known_partitions
from agent_assets.planning.index import PlanIndex
from support.town import ADA, BEN, ELDER, Town


def test_an_elder_who_left_loses_the_partition_and_leaves_nothing_to_inherit(town: Town) -> None:
    town.on_materialized()
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
    assert {entry.status.value for entry in tick.snapshot.plan.asset_partitions} == {"missing"}
    town.world.built.clear()
    town.execute(tick)
    assert {(name, ADA) for name in ELDER - {"elder_memories"}} == set(town.world.built)


def test_removal_can_be_switched_off_and_never_takes_everybody(town: Town) -> None:
    town.on_materialized()
    town.db.answers.delete_many({})
    town.config = AutomationConfig.model_validate({"removed_elders": {"policy": "keep"}})
    town.watch()
    town.wait(days=30)
    assert "2 elders gone but kept: policy keep" in town.watch().message
    town.config = AutomationConfig()
    assert "2 elders gone but kept: more than 20% are gone at once" in town.watch().message
    assert len(known_partitions(town.instance, "elders")) == 2


def test_an_elder_deleted_while_the_run_is_going(town: Town) -> None:
    town.on_materialized()
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
        [
            {"elderId": odd, "questionId": "q", "answer": "text"}
            for odd in ("", "a/b", 7, None, "x" * 65)
        ]
    )
    town.db.elders.insert_one({"elderId": BEN, "name": "Ben again"})
    for silent in ("silent", "Silent"):  # one folder on some file systems
        town.db.answers.insert_one({"elderId": silent, "questionId": "q", "answer": ""})
    town.on_materialized()
    tick = town.night()
    assert tick.snapshot.plan.asset_partitions == () and tick.snapshot.plan.fresh == 3 + 2 * 5
    for words in (
        "set aside: 3 elder ids that cannot be used: '', 7 (int), none",
        "3 ids or profiles twice",
        "4 elders without a usable answer",
    ):
        assert tick.message.count(f"fleet: {words}") == 1


def test_an_elder_who_left_while_the_index_was_lost_is_removed_as_well(town: Town) -> None:
    town.on_materialized()
    town.db.answers.delete_many({"elderId": ADA})
    town.index.path.unlink()
    town.index = PlanIndex(town.folder / "plan")
    assert "1 elders gone but kept: absent for too short" in town.watch().message
    town.wait(days=8)
    assert "1 elders removed" in town.watch().message


def test_nobody_is_removed_while_mongodb_is_away(town: Town) -> None:
    town.on_materialized()
    town.db.answers.delete_many({"elderId": ADA})
    town.watch()
    town.wait(days=8)
    there = town.mongo
    town.mongo = MemoryDatabase(
        uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200", database="x"
    )
    town.watch()
    assert known_partitions(town.instance, "elders") == [BEN, ADA]
    town.mongo = there
    assert "1 elders removed" in town.watch().message
