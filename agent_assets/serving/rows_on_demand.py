"""The training rows of an elder, made when somebody asks for them."""

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from agent_assets.serving.context import Services
from agent_assets.serving.job_assets import NoSuchElder, RowsNotReady
from agent_assets.serving.job_progress import OVER
from agent_assets.serving.tokens import Caller
from agent_assets.store.artifact_store import Artifact

_EVERY_SECONDS = 1.0


async def rows_of(serving: Services, caller: Caller, agent: str) -> Artifact:
    """The rows of an agent that the caller may know of: of an elder with answers those from what
    they told by now, made in a job if need be; of a copy, and of an agent without an elder, those
    of the version that answers.

    Raises:
        NotReleased: there is no such agent for this caller.
        RowsNotReady: they take longer than a client waits, or the job failed.
    """
    if caller.may_see(agent):
        try:
            rows = await run_in_threadpool(serving.jobs.fresh_rows, agent)
            return rows or await _made(serving, agent)
        except NoSuchElder:
            pass  # a copy, which only a release has
    released = await run_in_threadpool(serving.find, caller, agent)
    return await run_in_threadpool(serving.released.part, released, "rows")


async def _made(serving: Services, agent: str) -> Artifact:
    started = await serving.jobs.start_in_turn(agent, "rows")
    job = started["job_id"]
    deadline = time.monotonic() + serving.config.rows_seconds
    while True:
        progress = await run_in_threadpool(serving.jobs.progress, job, lambda _: True)
        if progress["status"] in OVER:
            break
        if time.monotonic() > deadline:
            raise RowsNotReady(
                "The rows are still being made.",
                next_step=f"ask again later; GET /train/progress/{job} says how far they are.",
            )
        await asyncio.sleep(_EVERY_SECONDS)
    # A training that went on already may have failed behind the rows
    rows = await run_in_threadpool(serving.jobs.fresh_rows, agent)
    if rows is None:
        raise RowsNotReady(
            f"The rows could not be made: {progress['error'] or 'they changed meanwhile'}",
            next_step=f"look at GET /train/progress/{job}, and ask again.",
        )
    return rows
