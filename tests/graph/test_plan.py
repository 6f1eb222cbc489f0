"""The plan names exactly what changed, in words, and a refresh builds that and nothing else."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.planning.asset_partitions import CauseKind, FanOut, Status
from agent_assets.planning.facts import Materialization
from agent_assets.planning.history import DagsterLog
from agent_assets.store.retrains import count_retrain
from agent_assets.store.tombstones import bury, revive
from support.fleet import NAMES, SHARED, Fleet, asset_partitions, causes, materialized

ELDER = tuple(name for name in NAMES if name not in SHARED)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with dg.DagsterInstance.ephemeral() as instance:
        fleet = Fleet(instance, tmp_path)
        fleet.add("ada", "born in london")
        fleet.add("ben", "born in boston")
        yield fleet


def test_at_first_everything_is_missing_and_a_refresh_makes_all_of_it(fleet: Fleet) -> None:
    plan = fleet.plan()
    assert {entry.status for entry in plan.asset_partitions} == {Status.MISSING}
    assert [(run.partition, run.assets) for run in plan.runs] == [
        (None, SHARED),
        ("ada", ELDER),
        ("ben", ELDER),
    ]
    assert fleet.refresh() == asset_partitions(plan)
    assert fleet.plan().asset_partitions == () and fleet.plan().fresh == 3 + 2 * 5


def test_one_story_moves_one_elder(fleet: Fleet) -> None:
    fleet.refresh()
    fleet.world.memories["ada"] = "born in leeds"
    plan = fleet.plan()
    assert asset_partitions(plan) == {(name, "ada") for name in ELDER}
    assert causes(plan)["elder_memories", "ada"] == ["mongodb changed"]
    assert causes(plan)["train_jsonl", "ada"] == ["upstream elder_memories will change"]
    assert [(run.partition, run.assets, run.waits) for run in plan.runs] == [("ada", ELDER, False)]
    fleet.world.built.clear()
    assert fleet.refresh() == asset_partitions(plan) == set(fleet.world.built)
    assert fleet.plan().asset_partitions == ()


def test_a_parent_that_comes_out_identical_stops_the_rest(fleet: Fleet) -> None:
    fleet.refresh()
    fleet.world.memories["ada"] += "!"
    (run,) = fleet.plan().runs
    result = fleet.start(run)
    assert result.success and materialized(result, "ada") == {("elder_memories", "ada")}
    skipped = {
        event.step_key for event in result.all_events if event.event_type_value == "STEP_SKIPPED"
    }
    assert skipped == {"fleet__sft_adapter", "fleet__merged_model", "fleet__eval_report"}
    assert fleet.plan().asset_partitions == ()


def test_edit_then_revert_builds_nothing(fleet: Fleet) -> None:
    fleet.refresh()
    before = fleet.world.memories["ada"]
    fleet.world.memories["ada"] = "something else"
    fleet.refresh()
    fleet.world.memories["ada"] = before
    fleet.world.built.clear()
    assert ("elder_memories", "ada") in asset_partitions(fleet.plan())
    fleet.refresh()
    assert fleet.world.built == [] and fleet.plan().asset_partitions == ()


def test_who_is_to_be_trained_anew_is_trained_once_and_nobody_else(fleet: Fleet) -> None:
    fleet.refresh()
    count_retrain(fleet.store, "fleet", "ada")
    plan = fleet.plan()
    assert asset_partitions(plan) == {
        (name, "ada") for name in ("sft_adapter", "merged_model", "eval_report")
    }
    assert causes(plan)["sft_adapter", "ada"] == ["retrain changed"]
    fleet.world.built.clear()
    fleet.refresh()
    assert ("sft_adapter", "ada") in fleet.world.built
    assert fleet.plan().asset_partitions == ()
    fleet.world.memories["ada"] += "!"  # a touch does not bring back what was before
    (run,) = fleet.plan().runs
    assert materialized(fleet.start(run), "ada") == {("elder_memories", "ada")}
    assert fleet.plan().asset_partitions == ()


def test_changing_the_evaluation_never_retrains(fleet: Fleet) -> None:
    fleet.refresh()
    fleet.world.settings["eval_report"] = 7
    plan = fleet.plan()
    assert asset_partitions(plan) == {("eval_report", "ada"), ("eval_report", "ben")}
    assert {cause.kind for entry in plan.asset_partitions for cause in entry.causes} == {
        CauseKind.CONFIG
    }


def test_a_shared_parent_fans_out_and_says_so(fleet: Fleet) -> None:
    fleet.refresh()
    fleet.world.servers = "lookup and price"
    plan = fleet.plan()
    assert FanOut("fleet", "mcp_tool_schema", elders=2, asset_partitions=2 * 4) in plan.fan_outs
    assert causes(plan)["mcp_tool_schema", None] == ["servers changed"]
    assert [(run.partition, run.waits, run.own_assets) for run in plan.runs] == [
        (None, False, ("mcp_tool_schema", "questions")),
        ("ada", True, ()),
        ("ben", True, ()),
    ]
    done = fleet.refresh()
    assert ("train_jsonl", "ada") in done and ("base_model", None) not in done
    assert fleet.plan().asset_partitions == ()


def test_changed_code_is_told_from_changed_configuration(fleet: Fleet) -> None:
    fleet.refresh()
    fleet.world.code["sft_adapter"] = 2
    plan = fleet.plan()
    assert causes(plan)["sft_adapter", "ada"] == ["code of stage sft_adapter changed"]
    assert causes(plan)["merged_model", "ada"] == ["upstream sft_adapter will change"]


def test_what_failed_stays_in_the_plan_and_stops_nobody_else(fleet: Fleet) -> None:
    fleet.world.failing = {("sft_adapter", "ada")}
    fleet.refresh()
    assert asset_partitions(fleet.plan()) == {
        (name, "ada") for name in ("sft_adapter", "merged_model", "eval_report")
    }
    fleet.world.failing = set()
    fleet.refresh()
    assert fleet.plan().asset_partitions == ()


def test_a_failed_check_is_built_again(fleet: Fleet) -> None:
    fleet.world.unsound = {("sft_adapter", "ada")}
    fleet.refresh()
    assert causes(fleet.plan())["sft_adapter", "ada"] == ["the last build failed its checks: sound"]
    assert {run.target_digest for run in fleet.plan().runs} == {
        run.target_digest for run in fleet.plan().runs
    }
    fleet.world.unsound = set()
    fleet.refresh()
    assert fleet.plan().asset_partitions == ()


def test_a_wiped_store_is_rebuilt(fleet: Fleet) -> None:
    fleet.refresh()
    shutil.rmtree(fleet.folder / "store")
    plan = fleet.plan()
    assert {entry.status for entry in plan.asset_partitions} == {Status.MISSING} and len(
        plan.asset_partitions
    ) == 13
    assert causes(plan)["base_model", None] == ["its artifact, or a release's pointer, is lost"]
    fleet.refresh()
    assert fleet.plan().asset_partitions == ()


def test_a_wiped_history_reports_missing_and_reuses_the_store(fleet: Fleet, tmp_path: Path) -> None:
    fleet.refresh()
    with dg.DagsterInstance.ephemeral() as other:
        again = Fleet(other, tmp_path, fleet.world)
        for elder, memories in list(fleet.world.memories.items()):
            again.add(elder, memories)
        fleet.world.built.clear()
        assert {entry.status for entry in again.plan().asset_partitions} == {Status.MISSING}
        again.refresh()
        assert fleet.world.built == [] and again.plan().asset_partitions == ()


def test_a_wiped_asset_is_missing(fleet: Fleet) -> None:
    fleet.refresh()
    fleet.instance.wipe_assets([fleet.spec.key("eval_report")])
    assert {(entry.asset, entry.status) for entry in fleet.plan().asset_partitions} == {
        ("eval_report", Status.MISSING)
    }


def test_an_elder_removed_and_added_again_inherits_nothing(fleet: Fleet) -> None:
    fleet.refresh()
    bury(fleet.store, "ada")
    bury(fleet.store, "ada")  # a second tick before the partition is gone
    fleet.instance.delete_dynamic_partition("elders", "ada")
    assert fleet.plan().asset_partitions == ()
    revive(fleet.store, "ada")
    fleet.instance.add_dynamic_partitions("elders", ["ada"])
    plan = fleet.plan()
    assert {(c.asset, c.partition, c.status) for c in plan.asset_partitions} == {
        (n, "ada", Status.MISSING) for n in ELDER
    }
    alone = fleet.materialize("ada", ["train_jsonl"])
    assert not alone.success  # the former elder's memories are not an input
    fleet.world.built.clear()
    fleet.refresh()
    assert set(fleet.world.built) == {(name, "ada") for name in ELDER}
    assert fleet.plan().asset_partitions == ()


def test_the_second_plan_reads_only_what_is_new(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    class Counting(DagsterLog):
        def read(self, storage_ids: Sequence[int]) -> Iterator[Materialization]:
            read.extend(storage_ids)
            return super().read(storage_ids)

    monkeypatch.setattr("support.fleet.DagsterLog", Counting)
    fleet.refresh()
    fleet.plan()
    read.clear()
    fleet.plan()
    assert read == []
    fleet.world.memories["ada"] = "another"
    fleet.refresh()
    assert (
        fleet.plan().asset_partitions == ()
        and set(Counter(read).values()) == {1}
        and len(read) == 5
    )


def test_an_unknown_source_counts_as_unchanged(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.refresh()
    monkeypatch.setattr(Fleet, "sources", lambda self: {})
    assert fleet.plan().asset_partitions == ()
