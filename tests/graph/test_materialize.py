"""Materializing through the store: built once, reused when nothing that matters changed, and it
says why.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from support.graph_world import World, materialize, outcome


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_the_second_time_everything_is_reused(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    world = World()
    first = materialize(instance, tmp_path, world)
    assert outcome(first, "child") == ("built", "never built before")
    second = materialize(instance, tmp_path, world)
    assert outcome(second, "parent")[0] == outcome(second, "child")[0] == "reused"
    assert world.built == ["parent[None]", "child[None]"]


def test_an_identical_parent_stops_the_rebuild(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    world = World()
    materialize(instance, tmp_path, world)
    world.noise = "!"  # the source looks different, the content is the same
    result = materialize(instance, tmp_path, world)
    assert outcome(result, "parent") == ("built", "world changed")
    assert outcome(result, "child")[0] == "reused"


def test_edit_then_revert_builds_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    world = World()
    materialize(instance, tmp_path, world)
    world.source = "b"
    assert outcome(materialize(instance, tmp_path, world), "child") == ("built", "parent changed")
    world.source, world.built = "a", []
    materialize(instance, tmp_path, world)
    assert world.built == []


def test_a_changed_setting_rebuilds_only_what_depends_on_it(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    world = World()
    materialize(instance, tmp_path, world)
    world.rate, world.built = 0.2, []
    result = materialize(instance, tmp_path, world)
    assert outcome(result, "child") == ("built", "configuration: rate 0.1 -> 0.2")
    assert world.built == ["child[None]"]


def test_changed_code_rebuilds(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    world = World()
    materialize(instance, tmp_path, world)
    result = materialize(instance, tmp_path, world, child_code="2")
    assert outcome(result, "child") == ("built", "code version 1 -> 2")


def test_elders_do_not_share_artifacts(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    world = World()
    materialize(instance, tmp_path, world, partition="ada")
    materialize(instance, tmp_path, world, partition="ben")
    assert world.built == ["parent[ada]", "child[ada]", "parent[ben]", "child[ben]"]
    assert (tmp_path / "toy" / "child" / "ada").is_dir() and (
        tmp_path / "toy" / "child" / "ben"
    ).is_dir()


def test_a_hand_edited_artifact_is_rebuilt_with_a_message(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    world = World()
    materialize(instance, tmp_path, world)
    for path in (tmp_path / "toy" / "child").rglob("text.txt"):
        path.write_text("edited", encoding="utf-8")
    kind, why = outcome(materialize(instance, tmp_path, world), "child")
    assert kind == "built" and why.startswith("damaged in the store, rebuilt") and "text.txt" in why
    assert any((tmp_path / ".corrupt").iterdir())


def test_a_damaged_input_is_never_trained_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    world = World()
    materialize(instance, tmp_path, world)
    for path in (tmp_path / "toy" / "parent").rglob("text.txt"):
        path.write_text("edited", encoding="utf-8")
    world.rate = 0.3
    result = materialize(instance, tmp_path, world, select=("child",), raise_on_error=False)
    assert not result.success and "differs from its manifest: text.txt" in failure(result)


def test_a_missing_input_names_what_to_materialize(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    result = materialize(instance, tmp_path, World(), select=("child",), raise_on_error=False)
    assert not result.success and "materialize toy/parent first" in failure(result)


def test_a_failed_blocking_check_stops_what_follows_and_is_tried_again(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    world = World(healthy=False)
    assert not materialize(instance, tmp_path, world, raise_on_error=False).success
    assert world.built == ["parent[None]"]
    alone = materialize(instance, tmp_path, world, select=("child",), raise_on_error=False)
    assert "failed its blocking checks: healthy" in failure(alone)
    world.healthy = True
    result = materialize(instance, tmp_path, world)
    assert result.success and outcome(result, "parent") == (
        "built",
        "the last build failed its checks: healthy",
    )


def test_a_wiped_store_is_rebuilt(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    world = World()
    materialize(instance, tmp_path / "one", world)
    result = materialize(instance, tmp_path / "two", world)
    assert outcome(result, "child") == (
        "built",
        "the previous version is not in the store any more",
    )


def test_a_wiped_history_reuses_the_store(tmp_path: Path) -> None:
    world = World()
    for _ in range(2):
        with dg.DagsterInstance.ephemeral() as instance:
            materialize(instance, tmp_path, world)
    assert world.built == ["parent[None]", "child[None]"]


def test_runs_and_materializations_are_tagged(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    result = materialize(instance, tmp_path, World(), partition="ada")
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["agent_assets/elder"] == "ada" and run.tags["agent_assets/pipeline"] == "toy"
    assert run.tags["agent_assets/gpu"] == "true"
    (event,) = [
        e
        for e in result.get_asset_materialization_events()
        if e.asset_key and e.asset_key.path[-1] == "child"
    ]
    tags = event.materialization.tags or {}
    assert tags["agent_assets/device"] == "cpu"
    assert len(tags["dagster/data_version"]) == 32


def failure(result: dg.ExecuteInProcessResult) -> str:
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return "\n".join(str(error.to_string()) for error in errors if error is not None)
