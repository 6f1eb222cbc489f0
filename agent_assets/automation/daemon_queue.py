"""Runs handed to the daemon of this installation: they wait in Dagster's queue and run within its
limits.
"""

import asyncio
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from agent_assets.automation.execute import (
    Order,
    RunOutcome,
    failure_message,
    progress_line,
    report_outcome,
    show_lines,
)
from agent_assets.dagster_internals import (
    RunRequestExecutionData,
    WorkspaceFileTarget,
    WorkspaceProcessContext,
    submit_asset_run,
)
from agent_assets.errors import EngineFailed
from agent_assets.runs.code_server import code_server_listens
from agent_assets.runs.device_queue import WAITING_STAGE, DeviceQueue, is_waiting, read_queue
from agent_assets.runs.instance import heartbeat_at
from agent_assets.runs.run_progress import RunProgress, words
from agent_assets.settings import Settings

# The daemon says every 30 s that it is alive.
_HEARTBEAT_SECONDS = 75.0
_POLL_SECONDS, _QUEUE_SECONDS = 1.0, 5.0
_LATE = timedelta(seconds=10)  # other processes write with clocks and transactions of their own
_NOT_SERVED = "`agent-assets up` has ended: the runs wait until it is started again."
_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass
class RunQueue:
    """The queue of a daemon that is alive, and the code server that makes its runs. While it is
    open, Dagster warns with a whole trace when that server ends: close it before runs are followed.
    """

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    settings: Settings
    _plans: dict[object, RunRequestExecutionData] = field(default_factory=dict)

    def submit(self, order: Order) -> str:
        """Put one run into the queue; returns its id.

        Raises:
            EngineFailed: the code server has ended.
        """
        partition = {} if order.partition is None else {"dagster/partition": order.partition}
        request = dg.RunRequest(
            asset_selection=[dg.AssetKey([order.pipeline, name]) for name in order.assets],
            tags={**order.tags, **partition},
        )
        try:
            run = asyncio.run(
                submit_asset_run(
                    run_id=None,
                    run_request=request,
                    run_request_index=0,
                    instance=self.instance,
                    workspace_process_context=self.workspace,
                    workspace=self.workspace.create_request_context(),
                    run_request_execution_data_cache=self._plans,  # type: ignore[arg-type]  # its keys are Dagster's own
                    debug_crash_flags={},
                    logger=logging.getLogger(__name__),
                )
            )
        except dg.DagsterError as error:
            if code_server_listens(self.settings):
                raise
            raise EngineFailed(
                f"`agent-assets up` has ended ({type(error).__name__}): {order.label} is not in "
                "its queue.",
                next_step="start it again, or refresh without it.",
            ) from None
        return run.run_id

    def submit_all(self, orders: Sequence[Order]) -> "QueuedRuns":
        """Put all of them into the queue. They can be followed without it.

        Raises:
            EngineFailed: the code server has ended.
        """
        since = datetime.now(UTC) - _LATE
        waiting = {self.submit(order): order for order in orders}
        return QueuedRuns(self.instance, self.settings, waiting, since)


@dataclass
class QueuedRuns:
    """Runs that were put into the queue, and are not over yet, by run id.

    Args:
        since: when the first was put there, or before.
    """

    instance: dg.DagsterInstance
    settings: Settings
    waiting: dict[str, Order]
    since: datetime

    def follow(self) -> list[RunOutcome]:
        """Show what becomes of them until the last one ends. Ctrl-C stops following, not the
        runs.
        """
        waiting, orders = self.waiting, len(self.waiting)
        since, before = self.since, datetime.now(UTC)
        progress = {run_id: RunProgress(run_id) for run_id in waiting}
        going: dict[str, dg.DagsterRun] = {}
        queue, queue_at, served = read_queue(self.instance), time.monotonic(), True
        outcomes: list[RunOutcome] = []
        with show_lines() as show:
            while waiting:
                now = datetime.now(UTC)
                for run in self._changed(since):
                    if run.run_id not in waiting:
                        continue
                    if run.status in _FINISHED:
                        going.pop(run.run_id, None)
                        outcomes.append(
                            self._outcome(run, waiting.pop(run.run_id), progress[run.run_id])
                        )
                        report_outcome(outcomes[-1])
                    elif run.status is dg.DagsterRunStatus.STARTED:
                        going[run.run_id] = run
                # The clock may have been set since the last look, forward or back.
                since, before = min(before, now) - _LATE, now
                if time.monotonic() - queue_at >= _QUEUE_SECONDS:
                    queue, queue_at = read_queue(self.instance), time.monotonic()
                    served = code_server_listens(self.settings)
                lines = []
                for run_id, run in going.items():
                    progress[run_id].refresh(self.instance)
                    lines.append(_line(run, waiting[run_id], progress[run_id], queue))
                lines.append(_summary(len(outcomes), orders, len(waiting) - len(going), queue))
                show(lines if served else [*lines, _NOT_SERVED])
                time.sleep(_POLL_SECONDS if waiting else 0)
        return outcomes

    def _changed(self, since: datetime) -> list[dg.DagsterRun]:
        """Runs that something was written about: of ten thousand in the queue these are a few."""
        return list(self.instance.get_runs(filters=dg.RunsFilter(updated_after=since)))

    def _outcome(self, run: dg.DagsterRun, order: Order, progress: RunProgress) -> RunOutcome:
        progress.refresh(self.instance)
        failed = None
        if run.status is dg.DagsterRunStatus.CANCELED:
            failed = "cancelled"
        elif run.status is dg.DagsterRunStatus.FAILURE:
            failed = self._why(run)
        return RunOutcome.of(order, progress, failed)

    def _why(self, run: dg.DagsterRun) -> str:
        """Errors of its steps; without any, its process was killed or never began."""
        events = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        errors = [
            log.dagster_event.step_failure_data.error
            for log in events
            if log.dagster_event is not None
        ]
        ends = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        if errors or not ends:
            return failure_message(errors)
        event = ends[-1].dagster_event
        return (event.message if event else None) or "failed"


def _line(run: dg.DagsterRun, order: Order, progress: RunProgress, queue: DeviceQueue) -> str:
    if is_waiting(run):
        return f"{order.label}: {WAITING_STAGE}, {queue.before(run.run_id)} before it"
    return progress_line(order.label, progress)


def _summary(done: int, orders: int, queued: int, queue: DeviceQueue) -> str:
    parts = [f"{done} of {orders} runs done, {queued} in the queue"]
    if queue.runs_per_hour is not None and queue.seconds_left:
        parts += [f"{queue.runs_per_hour:.1f} per hour", f"about {words(queue.seconds_left)} left"]
    return ", ".join(parts)


@contextmanager
def open_queue(instance: dg.DagsterInstance, settings: Settings) -> Iterator[RunQueue | None]:
    """The queue of this installation, None when no daemon is alive to run what is in it."""
    with ExitStack() as stack:
        if not _is_alive(instance, settings):
            yield None
            return
        with warnings.catch_warnings():
            # Where `up` ends at this moment, Dagster warns with the whole trace of its client.
            warnings.filterwarnings("ignore", message="Error loading repository location")
            workspace = stack.enter_context(
                WorkspaceProcessContext(instance, WorkspaceFileTarget([str(settings.workspace)]))
            )
        entries = workspace.create_request_context().get_code_location_entries().values()
        answering = all(entry.load_error is None for entry in entries)
        yield RunQueue(instance, workspace, settings) if answering else None


def _is_alive(instance: dg.DagsterInstance, settings: Settings) -> bool:
    """Whether services run here. An `up` that was killed leaves its file, and a heartbeat that is
    young for a while, for hours if the clock was set back.
    """
    return (
        settings.workspace.exists()
        and time.time() - heartbeat_at(instance) <= _HEARTBEAT_SECONDS
        and code_server_listens(settings)
    )
