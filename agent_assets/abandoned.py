"""Runs whose process is gone: marked as failed, and what they held in Dagster's pools is given back.

A run executed in a process of ours (the demo) has nobody to watch it: the daemon monitors only the runs that
it launched. Killed outright, it would hold its pool slot for ever and everything behind it would wait.
"""

import os

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES  # no public name lists these states

PROCESS_TAG = "agent_assets/process"


def process_tag() -> dict[str, str]:
    """The tag that names this process: its id, and its start (a process id is used again)."""
    return {PROCESS_TAG: _identity(psutil.Process(os.getpid()))}


def release_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone and free their pool slots. Returns their run ids."""
    abandoned = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        owner = run.tags.get(PROCESS_TAG)
        if owner is not None and not _alive(owner):
            instance.report_run_failed(run, "The process of this run is gone: it was killed. Start the run again.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            abandoned.append(run.run_id)
    return abandoned


def _identity(process: psutil.Process) -> str:
    return f"{process.pid}-{process.create_time():.2f}"


def _alive(identity: str) -> bool:
    pid = int(identity.split("-", maxsplit=1)[0])
    try:
        return _identity(psutil.Process(pid)) == identity
    except psutil.NoSuchProcess:
        return False
