"""Progress of a training job, folded from the events of its Dagster run: the same after a restart
of everything.

The estimate of the time left is made from how long the stages took lately on this machine, and
from what the stage going on says of itself; there is none while a stage is ahead that was never
built here. It only ever shrinks: what an event would add is not shown. When it has run out before
the job has, there is none.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus

from agent_assets.release.records import NOTHING_ANSWERS
from agent_assets.release.records import STAGE as RELEASE
from agent_assets.runs.device_queue import (
    WAITING_STAGE,
    DeviceQueue,
    had_device,
    holds_device,
    wants_device,
)
from agent_assets.runs.run_progress import RunEvents, reported, stage_of, words
from agent_assets.serving.gate_decision import GateDecision

# Before this machine has built a stage, this is how much of the whole it counts for in `progress`.
# No time is told from it.
_WEIGHTS = {
    "train_jsonl": 20.0,
    "sft_adapter": 400.0,
    "merged_model": 40.0,
    "eval_report": 300.0,
    "rl_checkpoint": 400.0,
}
_SMALL_WEIGHT = 5.0
_PREPARING = (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)
OVER = ("completed", "failed", "cancelled")


@dataclass
class Fold:
    """What the events so far say. `left` is the estimate at `left_at` (seconds since 1970).

    Args:
        usual: seconds that stages took lately on this machine.
    """

    stages: list[str]
    usual: Mapping[str, float] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    stage: str | None = None
    detail: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    total_epochs: int = 0
    gate: GateDecision | None = None
    percent: float = 0.0
    left: float | None = None
    left_at: float = 0.0
    error: str | None = None
    logs: list[str] = field(default_factory=list)

    def add(self, event: dg.DagsterEvent, at: float) -> None:
        """Take in the next event."""
        if event.event_type == DagsterEventType.STEP_START and event.step_key:
            self.stage, self.detail = stage_of(event), {}
            self._log(at, f"{self.stage} started")
        elif event.event_type == DagsterEventType.ASSET_OBSERVATION:
            values = reported(event)
            self.detail = {
                name: float(value) for name, value in values.items() if not isinstance(value, str)
            }
            # The time spent so far says nothing about the time left
            if values.get("stage") == WAITING_STAGE:
                self.left = None
                self._log(at, WAITING_STAGE)
                return
            self._count_epochs()
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            decision = _decision_of(event.step_materialization_data.materialization)
            if decision is not None:
                self.gate = decision
                self._log(at, decision.in_words())
            return
        elif (
            event.event_type in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_SKIPPED)
            and (stage := stage_of(event)) is not None
        ):
            self.done.add(stage)
            self._log(at, f"{stage} done")
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            self.error = _message(event.step_failure_data.error) or "failed"
            self._log(at, f"{self.stage} failed")
        elif event.event_type == DagsterEventType.RUN_FAILURE:
            self.error = (
                self.error
                or "Dagster ended the run outside of its steps; the Dagster UI shows why."
            )
            return
        else:
            return
        self.estimate(at)

    def time_left(self, now: float) -> float | None:
        """Seconds left as of now; None when nothing can be said (any more)."""
        left = None if self.left is None else self.left - (now - self.left_at)
        return left if left is not None and left > 0 else None

    def estimate(self, at: float) -> None:
        """Say anew how much is done and left."""
        share, going_on = 0.0, self.stage is not None and self.stage not in self.done
        if going_on:
            steps = self.detail.get("total_steps", 0.0)
            share = min(1.0, self.detail.get("step", 0.0) / steps) if steps else 0.0
        total = sum(map(self._weight, self.stages)) or 1.0
        finished = sum(self._weight(name) for name in self.stages if name in self.done)
        finished += share * self._weight(self.stage or "")
        self.percent = max(self.percent, min(99.0, 100 * finished / total))
        left = self._seconds_left(share if going_on else None)
        if left is not None and self.left is not None:
            left = min(left, max(0.0, self.left - (at - self.left_at)))
        self.left, self.left_at = left, at

    def _weight(self, stage: str) -> float:
        return self.usual.get(stage, _WEIGHTS.get(stage, _SMALL_WEIGHT))

    def _seconds_left(self, share: float | None) -> float | None:
        """Seconds of the open stages; None when one of them was never built on this machine.

        Args:
            share: how much of the stage going on is done; None when none is.
        """
        open_stages = [name for name in self.stages if name not in self.done and name != self.stage]
        seconds = [self.usual.get(name) for name in open_stages]
        if share is not None:
            usual = self.usual.get(self.stage or "")
            from_usual = None if usual is None else usual * (1 - share)
            seconds.append(self.detail.get("eta_seconds", from_usual))
        known = [value for value in seconds if value is not None]
        return sum(known) if len(known) == len(seconds) else None

    def _count_epochs(self) -> None:
        """Later stages have no epochs: the last known ones stay."""
        if "epoch" in self.detail:
            self.total_epochs = int(self.detail.get("total_epochs", 0))
            going_on = int(self.detail["epoch"]) + 1
            self.epoch = min(going_on, self.total_epochs) if self.total_epochs else going_on

    def _log(self, at: float, line: str) -> None:
        self.logs = [*self.logs, f"{time.strftime('%H:%M:%S', time.gmtime(at))} {line}"][-50:]


def job_progress(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    job_id: str,
    elder: str,
    queue: DeviceQueue | None = None,
    usual: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The progress of a run in the shape of the API.

    Args:
        queue: with it, it also says where a waiting run is there.
        usual: seconds that stages took lately on this machine.
    """
    fold = Fold(sorted(key.path[-1] for key in run.asset_selection or ()), usual or {})
    for event, at in RunEvents(run.run_id).read(instance):
        fold.add(event, at)
    status = job_status(run)
    waiting = waits_for_device(run)
    left = None if status in OVER else fold.time_left(time.time())
    if waiting:
        left = None if queue is None else _time_left_in_queue(queue, run)
    return {
        "job_id": job_id,
        "elder_id": elder,
        "status": status,
        "message": waiting_message(queue, run) if waiting else _end_message(fold, status),
        "progress": 100 if status == "completed" else round(fold.percent, 1),
        "current_epoch": fold.epoch,
        "total_epochs": fold.total_epochs,
        "current_step": int(fold.detail.get("step", 0)),
        "total_steps": int(fold.detail.get("total_steps", 0)),
        "eta": None if left is None else words(left),
        "eta_seconds": None if left is None else round(left),
        "stage": fold.stage,
        "error": {"failed": fold.error or "failed", "cancelled": "cancelled"}.get(status),
        "gate": None if fold.gate is None else fold.gate.model_dump(),
        "logs": fold.logs,
    }


def _end_message(fold: Fold, status: str) -> str | None:
    """What came of a job that is over."""
    if status != "completed":
        return None
    if fold.gate is not None:
        return fold.gate.in_words()
    return "What answers did not change: no new version was judged."


def job_status(run: dg.DagsterRun) -> str:
    """A run's status in the words of the API."""
    if run.status in _PREPARING or waits_for_device(run):
        return "preparing"
    ends = {
        DagsterRunStatus.SUCCESS: "completed",
        DagsterRunStatus.FAILURE: "failed",
        DagsterRunStatus.CANCELED: "cancelled",
    }
    return ends.get(run.status, "training")


def waits_for_device(run: dg.DagsterRun) -> bool:
    """Whether a run is in the queue for the device, or prepares itself and will wait for it."""
    return (
        not run.is_finished and wants_device(run) and not holds_device(run) and not had_device(run)
    )


def waiting_message(queue: DeviceQueue | None, run: dg.DagsterRun) -> str:
    """For what a run waits, in words."""
    return (
        WAITING_STAGE if queue is None else f"{WAITING_STAGE}, {queue.before(run.run_id)} before it"
    )


def _time_left_in_queue(queue: DeviceQueue, run: dg.DagsterRun) -> float | None:
    until = queue.seconds_until(run.run_id)
    return None if until is None or queue.seconds_per_run is None else until + queue.seconds_per_run


def _decision_of(materialization: dg.AssetMaterialization) -> GateDecision | None:
    """The decision that a materialization of `release` recorded; None of any other asset."""
    values = {name: value.value for name, value in materialization.metadata.items()}
    if materialization.asset_key.path[-1] != RELEASE or "verdict" not in values:
        return None
    answers = values.get("answers_now")
    return GateDecision.model_validate(
        {
            "decision": values["verdict"],
            "reasons": values.get("reasons", []),
            "answers_now": None if answers == NOTHING_ANSWERS else answers,
        }
    )


def _message(error: Any) -> str:
    """The innermost message: ours holds no memory text; of foreign errors only the class is
    told.
    """
    if error is None:
        return ""
    while error.cause is not None:
        error = error.cause
    text = str(error.message).strip()
    name, _, rest = text.partition(": ")
    return rest if name.startswith("agent_assets.errors.") else str(error.cls_name or "error")
