"""Which runs a tick asks for: each once, no more than the cap, and what failed at night again."""

import socket

import dagster as dg

from agent_assets.automation.config import AutomationConfig
from agent_assets.planning.history import known_partitions
from support.town import ADA, BEN, CONFIG, Town


def test_the_cap_leaves_the_rest_to_the_next_tick(town: Town) -> None:
    town.config = AutomationConfig.model_validate(
        {"nightly": {"max_runs_per_tick": 1}, "watch": {"debounce_s": 0}}
    )
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
    keys = [
        request.run_key
        for tick in (town.night(), town.night(), town.watch())
        for request in tick.requests
    ]
    assert len(keys) == len(set(keys)) == 2


def test_a_run_that_fails_is_tried_once_per_change_and_once_per_night(town: Town) -> None:
    town.on_materialized()
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
    town.execute(again)
    town.wait(minutes=10)
    town.tell(BEN, "Others go on.")
    town.watch()
    town.wait(minutes=10)
    assert [r.run.partition for r in town.watch().requests] == [BEN]


def test_a_shared_asset_that_cannot_be_renewed_does_not_stop_elders(town: Town) -> None:
    town.on_materialized()
    town.world.servers = "lookup and price"
    town.world.failing = {("mcp_tool_schema", None)}
    town.tell(ADA, "A new story.")
    town.config = CONFIG.model_copy(
        update={"watch": CONFIG.watch.model_copy(update={"shared_sources_s": 0.0})}
    )
    first = town.watch()
    assert {request.run.partition for request in first.requests} == {None}
    town.execute(first)
    town.wait(minutes=10)
    second = town.watch()
    assert {request.run.partition for request in second.requests} == {ADA}


def test_a_tick_that_was_cut_short_is_made_up_for(town: Town) -> None:
    town.execute(town.night())
    town.wait(minutes=10)
    lost = town.night()
    assert {request.run.partition for request in lost.requests} == {ADA, BEN}  # nobody starts them
    town.wait(minutes=10)
    again = town.watch()
    assert {request.run_key for request in again.requests} == {
        request.run_key for request in lost.requests
    }


def test_a_run_whose_process_was_killed_does_not_block_its_elder(town: Town) -> None:
    town.on_materialized()
    job = town.definitions().resolve_job_def("fleet_job")
    dead = f"{socket.gethostname()}/999999-1.00"  # no process has this id and start
    run = town.instance.create_run_for_job(
        job,
        tags={"dagster/partition": ADA, "agent_assets/pipeline": "fleet"},
        status=dg.DagsterRunStatus.STARTED,
    )
    town.instance.add_run_tags(run.run_id, {"agent_assets/process": f"{dead}/{run.run_id}"})
    town.tell(ADA, "A new story.")
    town.watch()
    town.wait(minutes=10)
    assert [request.run.partition for request in town.watch().requests] == [ADA]


def test_nothing_is_started_where_the_cap_is_zero(town: Town) -> None:
    town.config = AutomationConfig.model_validate({"watch": {"max_runs_per_tick": 0}})
    tick = town.watch()
    assert tick.requests == () and "over the limit of this tick" in tick.message
    assert known_partitions(town.instance, "elders") == [BEN, ADA]
