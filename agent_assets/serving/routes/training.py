"""Training jobs: start, follow, cancel."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from agent_assets.runs.run_progress import words
from agent_assets.serving.context import CallerDep, Services, ServicesDep, WriterDep
from agent_assets.serving.job_assets import NoSuchElder, Wish
from agent_assets.serving.job_progress import OVER
from agent_assets.serving.jobs import JobUnknown
from agent_assets.serving.routes.strict_json import StrictJsonRoute
from agent_assets.serving.schemas import (
    ActiveJob,
    ActiveJobs,
    Done,
    JobProgress,
    NoTraining,
    TrainStart,
    TrainStarted,
)
from agent_assets.serving.streaming import server_event
from agent_assets.serving.tokens import Caller
from agent_assets.store.partition_keys import as_partition_key

router = APIRouter(tags=["training"], route_class=StrictJsonRoute)
_EVERY_SECONDS = 1.0
JobId = Annotated[str, Path(max_length=200)]


@router.post("/train/start", response_model=TrainStarted)
async def start(request: TrainStart, serving: ServicesDep, caller: WriterDep) -> TrainStarted:
    """Start what is stale of an elder, and what it needs that was never built. Nothing stale, or
    one going on: success, and a message says so.
    """
    if not caller.may_see(request.elder_id):
        raise NoSuchElder
    wish: Wish = "anew" if request.force_retrain else "stale"
    started = await serving.jobs.start_in_turn(request.elder_id, wish)
    return TrainStarted.model_validate(started)


@router.get("/train/progress/{job_id}", response_model=JobProgress)
async def progress(job_id: JobId, serving: ServicesDep, caller: CallerDep) -> JobProgress:
    """How far a job is; read from Dagster, so it survives restarts."""
    return await _progress(serving, caller, job_id)


@router.get("/train/progress/{job_id}/events", response_class=StreamingResponse)
async def progress_events(
    job_id: JobId, serving: ServicesDep, caller: CallerDep
) -> EventSourceResponse:
    """The same as server-sent events `progress`, one whenever something changed, until the job is
    over.
    """
    first = await _progress(serving, caller, job_id)
    return EventSourceResponse(_follow(serving, caller, first))


@router.get("/train/progress/elder/{elder_id}", response_model=JobProgress | NoTraining)
async def latest(
    elder_id: JobId, serving: ServicesDep, caller: CallerDep
) -> JobProgress | NoTraining:
    """The latest job of an elder."""
    elder_id = as_partition_key(elder_id)
    job = (
        await run_in_threadpool(serving.jobs.latest, elder_id) if caller.may_see(elder_id) else None
    )
    if job is None:
        return NoTraining(elder_id=elder_id, message="No training of this elder is known.")
    return JobProgress.model_validate(job)


@router.get("/jobs/active", response_model=ActiveJobs)
async def active(serving: ServicesDep, caller: CallerDep) -> ActiveJobs:
    """How many jobs wait or go on, and up to 200 of them: those that go on come first."""
    total, jobs = await run_in_threadpool(serving.jobs.active, caller.elder)
    queue = await run_in_threadpool(serving.jobs.queue)
    left = queue.seconds_left if total else None
    return ActiveJobs(
        total=total,
        jobs=[ActiveJob.model_validate(job) for job in jobs],
        jobs_per_hour=None if queue.runs_per_hour is None else round(queue.runs_per_hour, 1),
        eta=None if left is None else words(left),
        eta_seconds=None if left is None else round(left),
    )


@router.post("/train/cancel/{job_id}", response_model=Done)
async def cancel(job_id: JobId, serving: ServicesDep, caller: WriterDep) -> Done:
    """End a job. What is finished stays; nothing half-made is used."""
    if not caller.may_see(await run_in_threadpool(serving.jobs.owner, job_id)):
        raise JobUnknown
    await run_in_threadpool(serving.jobs.cancel, job_id)
    return Done(success=True, message="The job is being ended.")


async def _progress(serving: Services, caller: Caller, job_id: str) -> JobProgress:
    job = await run_in_threadpool(serving.jobs.progress, job_id, caller.may_see)
    return JobProgress.model_validate(job)


async def _follow(serving: Services, caller: Caller, first: JobProgress) -> AsyncIterator[bytes]:
    shown = None
    current = first
    while True:
        content = current.model_dump()
        if content != shown:
            shown = content
            yield server_event("progress", content)
        if current.status in OVER:
            return
        await asyncio.sleep(_EVERY_SECONDS)
        current = await _progress(serving, caller, first.job_id)
