"""What a backfill of elders costs: the real graph, daemon and queue as `agent-assets up` has them, a tiny model.

python benchmarks/backfill.py [--quick]    about 20 minutes; --quick under five, with two elders instead of eight and
                                            without the figures of /chat and of Dagster's own pool

Needs the CPU engine environment (`make setup`) and a machine that does nothing else. The installation is one in use:
what all elders share (base model, tools, questions) is there. The last line is one JSON object:
shared_assets_s       seconds to make what all elders share, once per installation
quiet_cpu_share       CPU seconds per second of `up` with its MongoDB when nothing happens
waiting_cpu_share     CPU seconds per second of a run that is prepared and waits for the device
op_pool_cpu_share     the same of a run that waits for Dagster's own pool of steps (`granularity: op`): the peer
slowdown              steps per second of a training with three runs behind it, from their request on, by those of the
                      same training before. The next of them is prepared on the same cores meanwhile.
cancel_s              the longest time from POST /train/cancel to the end of a run: queued, prepared, training
elders, elders_per_hour
device_busy_share     time for which a run held the device, by the wall time of the backfill from its request
first_released_share  time from the request until the first elder is released, by the N-th part of the whole
chat_first_s          median time from a question to the first words of its answer (/chat/stream), nothing else
                      going on; chat_whole_s to its end
chat_training_first_s  the same while an elder trains on the same cores, one question after the other without a pause;
                      chat_training_whole_s to the end of the answer
chat_training_slowdown  steps per second of that training, by those of a training alone
"""  # noqa: E501

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import psutil
from backfill_installation import (
    LIMIT_SECONDS,
    Installation,
    cpu_share,
    installed,
    make_shared_assets,
    until,
)
from plan import machine
from quick import is_quick

from agent_assets.runs.device_queue import DEVICE_TAG, holds_device, is_waiting
from agent_assets.runs.orphans import PROCESS_TAG

OP_POOL = """
import sys, time
import dagster as dg

@dg.asset(pool="gpu")
def trains():
    print("has it", flush=True)
    time.sleep(float(sys.argv[1]))

with dg.DagsterInstance.from_config(sys.argv[2]) as instance:
    dg.materialize([trains], instance=instance)
"""


def process_of(run: dg.DagsterRun) -> psutil.Process:
    """The process of a run, from its tag `host/pid-start-boot/run`."""
    return psutil.Process(int(run.tags[PROCESS_TAG].split("/")[1].split("-")[0]))


def steps_per_second(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    *,
    since: float = 0.0,
    until: float = float("inf"),
) -> float:
    """Between the first and the last report of the training within a time."""
    reports = [report for report in _reports(instance, run) if since <= report.at <= until]
    return (reports[-1].step - reports[0].step) / (reports[-1].at - reports[0].at)


class _Report(NamedTuple):
    """A training says when it has come to which of its steps."""

    at: float
    step: float
    steps: float


def _reports(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[_Report]:
    records = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION
    ).records
    reports = []
    for record in records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        metadata = event.asset_observation_data.asset_observation.metadata
        if str(event.step_key).endswith("sft_adapter") and "loss" in metadata:
            step, steps = (float(str(metadata[name].value)) for name in ("step", "total_steps"))
            reports.append(_Report(record.event_log_entry.timestamp, step, steps))
    return reports


def op_pool_share(folder: Path, seconds: float) -> float:
    """CPU share of a run that waits for a step of another under Dagster's own executor and pool."""
    home = folder / "op-pool"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "concurrency: {pools: {default_limit: 1, granularity: op}}", encoding="utf-8"
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_run_records(limit=1)

    def start(holds: float) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", OP_POOL, str(holds), str(home)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    first = start(seconds + 15)
    assert first.stdout is not None and first.stdout.readline()
    second = start(0)
    time.sleep(6)  # it has started and waits
    share = cpu_share(seconds, psutil.Process(second.pid))
    for process in (first, second):
        process.kill()
        process.wait()
    return share


def _prepared(run: dg.DagsterRun) -> bool:
    return run.status is dg.DagsterRunStatus.STARTED and PROCESS_TAG in run.tags and is_waiting(run)


def _stage_done(instance: dg.DagsterInstance, run: dg.DagsterRun, stage: str) -> bool:
    records = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS
    ).records
    events = [record.event_log_entry.dagster_event for record in records]
    return any(event is not None and str(event.step_key).endswith(stage) for event in events)


def cancel_seconds(installation: Installation, run: dg.DagsterRun) -> float:
    """From the request to the end of a run, which must then read as cancelled."""
    started = time.monotonic()
    installation.api.post(f"/train/cancel/{run.run_id}").raise_for_status()
    until(lambda: installation.instance.get_run_by_id(run.run_id).is_finished, 120, every=0.05)  # type: ignore[union-attr]
    seconds = time.monotonic() - started
    status = installation.api.get(f"/train/progress/{run.run_id}").json()["status"]
    assert status == "cancelled", status
    return round(seconds, 2)


def chat_seconds(installation: Installation, elder: str) -> tuple[float, float]:
    """From a question to the first words of its answer, and to its end."""
    started, first = time.monotonic(), None
    question = {"elder_id": elder, "message": "Where were you born, and who was with you?"}
    with installation.api.stream("POST", "/chat/stream", json=question) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if first is None and line == "event: text_chunk":
                first = time.monotonic() - started
    assert first is not None, "the answer has no words"
    return first, time.monotonic() - started


def chat_figures(
    installation: Installation, elder: str, elders: list[str], alone: float, seconds: float
) -> dict[str, Any]:
    """One question after the other while nothing else goes on is `quiet`; the same while one of
    `elders` trains.

    Args:
        elder: who is asked.
        alone: steps per second of such a training while nobody asks.
        seconds: the longest time to ask beside it.
    """
    chat_seconds(installation, elder)  # starts the model server
    quiet = [chat_seconds(installation, elder) for _ in range(5)]
    following = installation.backfill(elders)
    working = until(
        lambda: next(
            (run for run in installation.runs(elders).values() if holds_device(run)), None
        ),
        180,
    )
    until(lambda: _reports(installation.instance, working), 180)
    since, beside = time.monotonic(), []
    while not _stage_done(installation.instance, working, "sft_adapter"):
        beside.append(chat_seconds(installation, elder))
        if time.monotonic() - since > seconds:
            break
    pace = steps_per_second(installation.instance, working)
    cancel_seconds(installation, working)
    following.wait(60)
    return {
        "chat_first_s": round(statistics.median(first for first, _ in quiet), 3),
        "chat_training_first_s": round(statistics.median(first for first, _ in beside), 3),
        "chat_whole_s": round(statistics.median(whole for _, whole in quiet), 3),
        "chat_training_whole_s": round(statistics.median(whole for _, whole in beside), 3),
        "chat_training_slowdown": round(pace / alone, 3),
    }


def backfill_figures(
    installation: Installation, elders: list[str], watch_seconds: float
) -> dict[str, Any]:
    """All elders, from the request to the last release.

    Args:
        elders: who is released.
        watch_seconds: how long the CPU of a run that waits is measured.
    """
    started = time.time()
    following = installation.backfill(elders)
    waiting = until(lambda: _run_where(installation, elders, _prepared), 180)
    share = cpu_share(watch_seconds, process_of(waiting))
    until(lambda: following.poll() is not None, LIMIT_SECONDS * len(elders))
    runs = installation.runs(elders)
    figures = _throughput(installation, [runs[elder] for elder in elders], started)
    return figures | {"waiting_cpu_share": share}


def training_figures(
    installation: Installation, talker: str, later: list[str], watch_seconds: float
) -> tuple[dict[str, Any], float]:
    """A long training: alone, then with three runs behind it.

    Args:
        talker: whose training it is.
        later: three who are asked for when it has gone on alone for a while. The first of them is
            cancelled while it waits with everything prepared, the others in the queue.
        watch_seconds: how long it goes on alone, at least.

    Returns:
        The figures, and the steps per second of the training alone.
    """
    instance = installation.instance
    installation.request(talker)
    training = until(lambda: _run_where(installation, [talker], holds_device), 180)
    first = until(lambda: _reports(instance, training), 180)[0].at
    until(lambda: _reports(instance, training)[-1].at - first > watch_seconds, 180)
    requested = _reports(instance, training)[-1].at
    for elder in later:
        installation.request(elder)
    until(lambda: _stage_done(instance, training, "sft_adapter"), LIMIT_SECONDS)
    alone = steps_per_second(instance, training, until=requested)
    behind = steps_per_second(instance, training, since=requested)
    print(f"steps per second: {alone:.2f} alone, {behind:.2f} with three behind")
    prepared = until(lambda: _run_where(installation, later, _prepared), 180)
    queued = installation.runs(later)[later[-1]]
    cancel = {
        state: cancel_seconds(installation, run)
        for state, run in {"queued": queued, "prepared": prepared, "working": training}.items()
    }
    print(f"cancelled: {cancel}")
    cancel_seconds(installation, installation.runs(later)[later[1]])
    figures = {"slowdown": round(behind / alone, 3), "cancel_s": round(max(cancel.values()), 2)}
    return figures, alone


def _run_where(
    installation: Installation, elders: list[str], holds: Callable[[dg.DagsterRun], bool]
) -> dg.DagsterRun | None:
    return next((run for run in installation.runs(elders).values() if holds(run)), None)


def _throughput(
    installation: Installation, runs: list[dg.DagsterRun], started: float
) -> dict[str, Any]:
    ends, busy = [], 0.0
    for run in runs:
        (record,) = installation.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
        assert run.is_success and record.end_time is not None
        ends.append(record.end_time - started)
        busy += float(run.tags[DEVICE_TAG].rsplit(", ", 1)[1].removesuffix(" s"))
        elder = run.tags["dagster/partition"]
        print(f"{elder}: ended after {ends[-1]:.1f} s; {run.tags[DEVICE_TAG]}", flush=True)
    whole = max(ends)
    return {
        "elders": len(runs),
        "elders_per_hour": round(3600 * len(runs) / whole, 1),
        "device_busy_share": round(busy / whole, 3),
        "first_released_share": round(min(ends) / (whole / len(runs)), 3),
    }


def main() -> None:
    """Measure and print."""
    quick = is_quick(__doc__, "two elders and short trainings")
    number, epochs, seconds = (2, 4.0, 8.0) if quick else (8, 8.0, 60.0)
    # In the order of their names they are in the queue.
    elders, later = [f"elder-{n:02d}" for n in range(number)], [f"later-{n}" for n in range(3)]
    talker = "later"
    figures: dict[str, Any] = {"benchmark": "backfill", "quick": quick, **machine()}
    folder = Path(tempfile.mkdtemp(prefix="backfill-"))
    try:
        if not quick:
            figures["op_pool_cpu_share"] = op_pool_share(folder, seconds / 3)
        with installed(folder, [*elders, *later], epochs, talker=talker) as installation:
            time.sleep(8)  # imports, first ticks
            figures["quiet_cpu_share"] = cpu_share(seconds, installation.up, installation.mongod)
            figures["shared_assets_s"] = make_shared_assets(installation)
            print(json.dumps(figures), flush=True)
            figures |= backfill_figures(installation, elders, seconds / 2 if quick else seconds / 3)
            print(json.dumps(figures), flush=True)
            watch = 10.0 if quick else 20.0
            measured, alone = training_figures(installation, talker, later, watch)
            figures |= measured
            if not quick:
                print(json.dumps(figures), flush=True)
                figures |= chat_figures(installation, elders[0], [talker], alone, 5 * seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
