"""Runs whose process is gone: marked as failed, and what they held in Dagster's pools is given back.

Dagster's own monitoring does not watch the processes of its default launcher, and nobody watches a run executed in a
process of ours. Killed outright, such a run would hold its pool slot for ever, and its elder would never be refreshed.
"""

import os
import socket

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES  # no public name lists these states

PROCESS_TAG = "agent_assets/process"


def process_tag(run_id: str) -> dict[str, str]:
    """The tag that names the process of a run: host, process id, its start (an id is used again), and the run.

    The run id is in it because Dagster copies the tags of a run that failed to the one that tries again.
    """
    return {PROCESS_TAG: f"{socket.gethostname()}/{_identity(psutil.Process(os.getpid()))}/{run_id}"}


def release_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs of this host whose process is gone and free their pool slots. Returns their run ids."""
    abandoned = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        host, _, owner = run.tags.get(PROCESS_TAG, "").removesuffix(f"/{run.run_id}").rpartition("/")
        if host == socket.gethostname() and not _alive(owner):
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
