"""Training jobs: what the plan says is stale for one elder, as a Dagster run."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from dagster import DagsterRunStatus

from agent_assets.errors import ServingError
from agent_assets.runs.device_queue import DeviceQueue, read_queue
from agent_assets.serving.dagster_web import (
    LAUNCH,
    TERMINATE,
    DagsterUnavailable,
    DagsterWeb,
    launch_variables,
)
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

    from agent_assets.automation.planner import Installation, Snapshot

_SHARED_AGE_SECONDS = 900.0
_CANCEL_SECONDS, _BETWEEN_SECONDS = 2.0, 0.2
# progress is asked for every second; reading a long queue takes longer than reading one run
_QUEUE_SECONDS = 5.0


class JobUnknown(ServingError):
    """No such job, or not the caller's business."""

    def __init__(self) -> None:
        super().__init__(
            "There is no job of this id.", next_step="GET /jobs/active lists those going on."
        )


class NoSuchElder(ServingError):
    """Nobody to train: unknown, without a usable answer, or not the caller's business. All look the
    same.
    """

    def __init__(self) -> None:
        super().__init__(
            "There is no elder of this id with a usable answer in MongoDB.",
            next_step="check the id, or let the elder answer a question first.",
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
        self._queue: tuple[float, DeviceQueue] | None = None

    async def start_in_turn(self, elder: str, *, everything: bool) -> dict[str, Any]:
        """`start`, from an event loop."""
        return await anyio.to_thread.run_sync(
            partial(self.start, elder, everything=everything), limiter=self._turn
        )

    def start(self, elder: str, *, everything: bool) -> dict[str, Any]:
        """Start what is stale of one elder, or of a pipeline without elders.

        Args:
            everything: materialize all assets of the elder; what is fresh is reused by the store.

        Raises:
            NoSuchElder: nobody of that id is in MongoDB.
            DagsterUnavailable: runs cannot be started now.
        """
        with self._starting:  # two requests at once start one job
            for run in open_runs_of(self.instance, elder):
                return _reply(
                    job_id_of(run), elder, "A training of this elder is going on already."
                )
            with self._installation() as installation:
                pipeline, partition, assets, tags = self._stale(
                    installation, elder, everything=everything
                )
            if not assets:
                return _reply(None, elder, "Nothing is stale: the agent knows everything there is.")
            job = f"{elder}_{int(time.time())}"
            self._launch(pipeline, partition, assets, tags | {JOB_TAG: job})
            return _reply(job, elder, f"Training started: {', '.join(assets)}.")

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
        return job_progress(self.instance, run, job, elder, self.queue())

    def latest(self, elder: str) -> dict[str, Any] | None:
        """Progress of the latest job of an elder, None if there never was one. A run that the
        sensor, the night or a person in the Dagster UI started is a job, too.
        """
        run = latest_run_of(self.instance, elder)
        if run is None:
            return None
        return job_progress(self.instance, run, job_id_of(run), elder, self.queue())

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

    def _stale(
        self, installation: "Installation", elder: str, *, everything: bool
    ) -> tuple[str, str | None, list[str], dict[str, str]]:
        """Pipeline, partition, assets to make and tags of the run."""
        from agent_assets.automation.elders import PARTITIONS, add_elders
        from agent_assets.automation.planner import Options, current_plan
        from agent_assets.planning.history import (
            ELDER_TAG,
            PIPELINE_TAG,
            WANTED_TAG,
            known_partitions,
        )

        options = Options(shared_max_age_s=_SHARED_AGE_SECONDS, elders=(elder,))
        snapshot = current_plan(installation, self.instance, now=time.time(), options=options)
        pipeline, partition = self._whose(installation, snapshot, elder)
        graph = next(graph for graph in installation.graphs if graph.name == pipeline)
        runs = [
            run
            for run in snapshot.plan.runs
            if run.pipeline == pipeline and run.partition == partition
        ]
        if partition is not None:
            add_elders(
                installation,
                self.instance,
                {partition} - set(known_partitions(self.instance, PARTITIONS)),
            )
        tags = {PIPELINE_TAG: pipeline} | ({ELDER_TAG: partition} if partition is not None else {})
        if everything:
            own = [
                s.name for s in graph.stages.values() if graph.partitioned(s) or partition is None
            ]
            return pipeline, partition, own, tags
        shared = [
            run for run in snapshot.plan.runs if run.pipeline == pipeline and run.partition is None
        ]
        missing = partition is not None and any(run.new for run in shared)
        if not runs:
            return pipeline, partition, [], tags
        if missing:
            raise ServingError(
                f"The shared assets of {pipeline} were never built.",
                next_step=f"materialize {', '.join(shared[0].assets)} of {pipeline} first, or "
                "wait for the night.",
            )
        assets = list(runs[0].own_assets or runs[0].assets)
        return pipeline, partition, assets, tags | {WANTED_TAG: runs[0].target_digest}

    def _whose(
        self, installation: "Installation", snapshot: "Snapshot", elder: str
    ) -> tuple[str, str | None]:
        for graph in installation.graphs:
            if not graph.spec.partitioned and graph.name == elder:
                return graph.name, None
        for name, elders in sorted(snapshot.elders.items()):
            if elder in elders.digests:
                return name, elder
        if snapshot.problems and not snapshot.elders:
            raise ServingError(snapshot.problems[0], next_step="check MongoDB.")
        raise NoSuchElder

    def _launch(
        self, pipeline: str, partition: str | None, assets: Sequence[str], tags: dict[str, str]
    ) -> None:
        all_tags = tags | ({"dagster/partition": partition} if partition is not None else {})
        answer = self.web.ask(LAUNCH, launch_variables(pipeline, assets, all_tags))["launchRun"]
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
