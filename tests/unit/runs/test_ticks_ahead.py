"""A clock that was ahead, and is right again: schedules and sensors tick as if it never was."""

import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)

from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.ticks_ahead import ClockWatch, bring_ticks_back
from agent_assets.settings import load_settings

DAY = 86_400.0


def reported(instance: dg.DagsterInstance, now: float) -> list[str]:
    lines: list[str] = []
    bring_ticks_back(instance, now, lines.append)
    return sorted(line.split(":")[0] for line in lines)


def add(instance: dg.DagsterInstance, name: str, at: float) -> InstigatorState:
    """A sensor or schedule that ticked at this time."""
    location = RegisteredCodeLocationOrigin("agent_assets")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    sensor = name == "sensor"
    kind = InstigatorType.SENSOR if sensor else InstigatorType.SCHEDULE
    data = (
        SensorInstigatorData(last_tick_timestamp=at, last_tick_start_timestamp=at, cursor="seen")
        if sensor
        else ScheduleInstigatorData("0 2 * * *", DAY, at)
    )
    state = InstigatorState(origin, kind, InstigatorStatus.RUNNING, data)
    instance.add_instigator_state(state)
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=name,
            instigator_type=kind,
            status=TickStatus.SKIPPED,
            timestamp=at,
            selector_id=state.selector_id,
        )
    )
    return state


def last_tick(instance: dg.DagsterInstance, state: InstigatorState) -> float:
    (tick,) = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    return float(tick.timestamp)


def test_what_ticked_in_the_future_ticks_again_now(tmp_path: Path) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path)})
    prepare_dagster_home(settings)
    now = time.time()
    with open_instance(settings) as instance:
        states = [add(instance, name, now + DAY) for name in ("sensor", "schedule")]
        assert reported(instance, now) == ["schedule", "sensor"]
        for state in states:
            assert last_tick(instance, state) == pytest.approx(now)
        sensor, schedule = (
            instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
            for state in states
        )
        assert sensor is not None and sensor.sensor_instigator_data is not None
        assert sensor.sensor_instigator_data.last_tick_timestamp == now
        assert sensor.sensor_instigator_data.cursor == "seen"
        assert schedule is not None
        assert schedule.instigator_data == ScheduleInstigatorData("0 2 * * *", DAY, now)
        assert reported(instance, now) == []


def test_what_ticked_before_is_left_alone(tmp_path: Path) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path)})
    prepare_dagster_home(settings)
    now = time.time()
    with open_instance(settings) as instance:
        state = add(instance, "sensor", now - 30)
        assert reported(instance, now) == []
        assert last_tick(instance, state) == pytest.approx(now - 30)


def test_a_clock_set_back_is_noticed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, real = ClockWatch(), time.time
    assert not watch.was_set_back()
    monkeypatch.setattr(time, "time", lambda: real() + DAY)
    assert not watch.was_set_back()
    monkeypatch.setattr(time, "time", real)
    assert watch.was_set_back() and not watch.was_set_back()
