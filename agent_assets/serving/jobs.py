"""Training jobs: what the plan says is stale for one elder, as a Dagster run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from dagster import DagsterRunStatus

from agent_assets.errors import ServingError
from agent_assets.runs.device_queue import DeviceQueue, read_queue
from agent_assets.runs.stage_seconds import StageSeconds
from agent_assets.serving.dagster_web import (
    LAUNCH,
    TERMINATE,
    DagsterUnavailable,
    DagsterWeb,
    launch_variables,
)
from agent_assets.serving.job_assets import ROWS_TAG, JobAssets, Wish, assets_of_job, fresh_rows
from agent_assets.serving.job_progress import (
    job_progress,
    job_status,
    waiting_message,
    waits_for_device,
)
from agent_assets.serving.runs import (
    JOB_TAG,
    elder_or_pipeline,
    job_id_of,
    latest_run_of,
    open_runs,
    open_runs_of,
    run_of_job,
)
from agent_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from agent_assets.automation.planner import Installation
    from agent_assets.store.artifact_store import Artifact

_CANCEL_SECONDS, _BETWEEN_SECONDS = 2.0, 0.2
# progress is asked for every second; reading a long queue takes longer than reading one run
_QUEUE_SECONDS = 5.0


class JobUnknown(ServingError):
    """No such job, or not the caller's business."""

    def __init__(self) -> None:
        super().__init__(
            "There is no job of this id.", next_step="GET /jobs/active lists those going on."
        )


class Jobs:
    """Starts, follows and cancels jobs. All but `start_in_turn` block: call them from a thread.

    Args:
        web: Dagster's web server, whose GraphQL starts and ends runs.
    """

    def __init__(self, settings: Settings, web: DagsterWeb) -> None:
        self._settings, self.web = settings, web
        self._starting = threading.Lock()
        # Starts wait for their turn outside of threads: the few that all routes share must not be
        # full of them.
        self._turn = anyio.CapacityLimiter(1)
        self._instance: dg.DagsterInstance | None = None
        self._stage_seconds = StageSeconds()
        self._queue: tuple[float, DeviceQueue] | None = None

    async def start_in_turn(self, elder: str, wish: Wish = "stale") -> dict[str, Any]:
        """`start`, from an event loop."""
        return await anyio.to_thread.run_sync(partial(self.start, elder, wish), limiter=self._turn)

    def start(self, elder: str, wish: Wish = "stale") -> dict[str, Any]:
        """Start what is stale of one elder, or of a pipeline without elders.

        Args:
            wish: `anew` trains with another seed although nothing changed, `rows` makes only the
                rows.

        Raises:
            NoSuchElder: nobody of that id is in MongoDB.
            DagsterUnavailable: runs cannot be started now.
        """
        with self._starting:  # two requests at once start one job
            for run in open_runs_of(self.instance, elder):
                if ROWS_TAG in run.tags and wish != "rows":
                    continue  # it trains nothing; what it makes is reused
                return _reply(
                    job_id_of(run), elder, "A training of this elder is going on already."
                )
            with self._installation() as installation:
                planned = self._planned(installation, elder, wish)
            if not planned.assets:
                return _reply(None, elder, "Nothing is stale: the agent knows everything there is.")
            job = f"{elder}_{int(time.time())}"
            self._launch(planned, planned.tags | {JOB_TAG: job})
            started = f"Training started: {', '.join(planned.assets)}. {planned.note}"
            return _reply(job, elder, started.rstrip())

    def fresh_rows(self, elder: str) -> "Artifact | None":
        """The training rows from what an elder has told by now; None where they have to be made.

        Raises:
            NoSuchElder: nobody of that id is in MongoDB.
        """
        with self._installation() as installation:
            return fresh_rows(installation, self.instance, elder)

    def progress(self, job: str, may_see: Callable[[str], bool]) -> dict[str, Any]:
        """Progress of a job.

        Args:
            may_see: whether the caller may know of jobs of this elder.

        Raises:
            JobUnknown: there is none that the caller may know of.
        """
        run = self._find(job)
        elder = elder_or_pipeline(run)
        if not may_see(elder):
            raise JobUnknown
        return self._progress_of(run, job)

    def latest(self, elder: str) -> dict[str, Any] | None:
        """Progress of the latest job of an elder, None if there never was one. A run that the
        sensor, the night or a person in the Dagster UI started is a job, too.
        """
        run = latest_run_of(self.instance, elder)
        if run is None:
            return None
        return self._progress_of(run, job_id_of(run))

    def _progress_of(self, run: "dg.DagsterRun", job: str) -> dict[str, Any]:
        usual = self._stage_seconds.of(self.instance, run.asset_selection or ())
        elder = elder_or_pipeline(run)
        return job_progress(self.instance, run, job, elder, self.queue(), usual)

    def active(self, elder: str | None = None) -> tuple[int, list[dict[str, Any]]]:
        """How many jobs wait or go on, of one elder or of all, and the first of them: those that go
        on come first. Runs that others started are among them.
        """
        if elder is None:
            total, runs = open_runs(self.instance)
        else:
            runs = open_runs_of(self.instance, elder)
            total = len(runs)
        queue = self.queue()
        return total, [
            {
                "job_id": job_id_of(run),
                "elder_id": elder_or_pipeline(run),
                "status": job_status(run),
                "message": waiting_message(queue, run) if waits_for_device(run) else None,
            }
            for run in runs
        ]

    def queue(self) -> DeviceQueue:
        """Who has the device and who waits for it, as of a few seconds ago at most."""
        now = time.monotonic()
        if self._queue is None or now - self._queue[0] > _QUEUE_SECONDS:
            self._queue = now, read_queue(self.instance)
        return self._queue[1]

    def cancel(self, job: str) -> str:
        """End a job; returns whose it was.

        Raises:
            JobUnknown: there is none.
            DagsterUnavailable: it cannot be ended now.
        """
        run = self._find(job)
        deadline = time.monotonic() + _CANCEL_SECONDS
        while not run.is_finished and run.status is not DagsterRunStatus.CANCELING:
            # Dagster does not interrupt a run whose process is just being started; that one finds
            # itself cancelled.
            starting = run.status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)
            policy = "MARK_AS_CANCELED_IMMEDIATELY" if starting else "SAFE_TERMINATE"
            answer = self.web.ask(TERMINATE, {"runId": run.run_id, "policy": policy})[
                "terminateRun"
            ]
            if answer["__typename"] == "TerminateRunSuccess":
                break
            if time.monotonic() > deadline:  # between two states: it is asked once more
                raise DagsterUnavailable(
                    f"Dagster did not end the run ({answer['__typename']}).",
                    next_step="try again in a moment.",
                )
            time.sleep(_BETWEEN_SECONDS)
            run = self._find(job)
        return elder_or_pipeline(run)

    def owner(self, job: str) -> str:
        """Whose job it is.

        Raises:
            JobUnknown: there is none.
        """
        return elder_or_pipeline(self._find(job))

    def close(self) -> None:
        """Close the instance."""
        if self._instance is not None:
            self._instance.dispose()
            self._instance = None

    @property
    def instance(self) -> "dg.DagsterInstance":
        """The Dagster instance of this installation, opened by the first use."""
        if self._instance is None:
            import dagster as dg

            from agent_assets.runs.instance import prepare_dagster_home

            prepare_dagster_home(self._settings)
            self._instance = dg.DagsterInstance.from_config(str(self._settings.dagster_home))
        return self._instance

    @contextmanager
    def _installation(self) -> "Iterator[Installation]":
        from agent_assets.automation.planner import load_installation

        installation = load_installation(self._settings)
        try:
            yield installation
        finally:
            installation.mongo.close()

    def _planned(self, installation: "Installation", elder: str, wish: Wish) -> JobAssets:
        return assets_of_job(installation, self.instance, elder, wish)

    def _launch(self, planned: JobAssets, tags: dict[str, str]) -> None:
        if planned.partition is not None:
            tags |= {"dagster/partition": planned.partition}
        variables = launch_variables(planned.pipeline, planned.assets, tags)
        answer = self.web.ask(LAUNCH, variables)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise DagsterUnavailable(
                f"Dagster refused to start the run ({answer['__typename']}).",
                next_step="look at the code location in the Dagster UI.",
            )

    def _find(self, job: str) -> "dg.DagsterRun":
        if len(job) > 200 or "\0" in job:
            raise JobUnknown
        run = run_of_job(self.instance, job)
        if run is None:
            raise JobUnknown
        return run


def _reply(job: str | None, elder: str, message: str) -> dict[str, Any]:
    return {"success": True, "message": message, "job_id": job, "elder_id": elder}
