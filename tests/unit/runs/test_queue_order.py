"""The queue for the device: who is before whom, what it says of the time, and what a run's tag
means.
"""

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import RunOpConcurrency

from agent_assets.runs.device_queue import (
    DEVICE_TAG,
    DeviceQueue,
    announce,
    had_device,
    holds_device,
    note_held,
    note_holding,
    note_preparing,
    note_waiting,
    read_queue,
)

STATUS = dg.DagsterRunStatus
ON_DEVICE = RunOpConcurrency(
    all_pools={"gpu"}, root_key_counts={}, has_unconstrained_root_nodes=True
)


def queue(
    holding: int, waiting: int, devices: int = 1, seconds: float | None = 100.0
) -> DeviceQueue:
    holders = tuple(f"h{n}" for n in range(holding))
    return DeviceQueue(holders, tuple(f"w{n}" for n in range(waiting)), 0, seconds, devices)


def test_a_run_waits_for_those_that_hold_a_device_and_those_before_it() -> None:
    assert [queue(1, 3).before(f"w{n}") for n in range(3)] == [1, 2, 3]
    assert queue(1, 3).before("far behind") == 4


@pytest.mark.parametrize(
    ("device_queue", "seconds"),
    [
        (queue(1, 3), 50 + 200),
        (queue(2, 3, devices=2), 50 + 100),
        (queue(0, 3), 200),
        (queue(1, 3, seconds=None), None),
    ],
)
def test_the_time_until_the_third_gets_the_device(
    device_queue: DeviceQueue, seconds: float | None
) -> None:
    assert device_queue.seconds_until("w2") == seconds


def test_the_pace_and_the_end_of_all() -> None:
    assert queue(2, 4, devices=2).runs_per_hour == 72
    assert queue(1, 4).seconds_left == 450
    assert queue(1, 4, seconds=None).runs_per_hour is None


def run_on(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> str:
    run = dg.DagsterRun("job", status=status, run_op_concurrency=ON_DEVICE, tags=tags)
    instance.add_run(run)
    return run.run_id


def test_what_a_run_says_of_itself_from_its_start_to_its_end() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = run_on(instance, STATUS.STARTED), run_on(instance, STATUS.STARTED)

        def tag(run_id: str) -> str:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            return run.tags[DEVICE_TAG]

        note_preparing(instance, first)
        assert (tag(first), read_queue(instance).holding) == ("preparing", ())
        note_holding(instance, first, "NVIDIA A100-SXM4-80GB")
        note_waiting(instance, second)
        assert tag(second) == "waiting, 1 before it"
        assert read_queue(instance).holding == (first,) and read_queue(instance).waiting == (
            second,
        )
        note_held(instance, first, "NVIDIA A100-SXM4-80GB", 75.04)
        run = instance.get_run_by_id(first)
        assert run is not None and had_device(run) and not holds_device(run)
        assert tag(first) == "NVIDIA A100-SXM4-80GB, 75.0 s" and read_queue(instance).holding == ()
        assert read_queue(instance).seconds_per_run is None  # it has not ended yet


def test_a_retried_run_does_not_hold_the_device_its_parent_had() -> None:
    """Dagster copies the tags of a run that failed to the one that tries again."""
    with dg.DagsterInstance.ephemeral() as instance:
        again = run_on(instance, STATUS.STARTED, **{DEVICE_TAG: "cpu, 12.0 s"})
        note_preparing(instance, again)
        assert read_queue(instance).waiting == (again,)


def test_runs_without_a_stage_on_the_device_are_not_in_its_queue() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun("job", status=STATUS.STARTED))
        announce(instance)
        assert read_queue(instance).waiting == ()
