"""Runs whose process is gone: marked as failed, and what they held in Dagster's pools is given back.

Dagster's own monitoring does not watch the processes of its default launcher, and nobody watches a run executed in a
process of ours. Killed outright, such a run would hold its pool slot for ever, and its elder would never be refreshed.
"""

import os
import socket
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES  # no public name lists these states

PROCESS_TAG = "agent_assets/process"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def process_tag(run_id: str) -> dict[str, str]:
    """The tag that names the process of a run: host, process id, its start (an id is used again), and the run.

    The run id is in it because Dagster copies the tags of a run that failed to the one that tries again.
    """
    return {PROCESS_TAG: f"{socket.gethostname()}/{_identity(os.getpid())}/{run_id}"}


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


def _identity(pid: int) -> str:
    """Process id, its start in ticks since the machine's, and which start of the machine: no clock that can be set."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    started = stat.rsplit(")", 1)[1].split()[19]  # field 22; the name before it may hold spaces
    return f"{pid}-{started}-{_BOOT_ID.read_text(encoding='utf-8')[:8]}"


def _alive(identity: str) -> bool:
    try:
        return _identity(int(identity.split("-", maxsplit=1)[0])) == identity
    except (FileNotFoundError, ProcessLookupError):
        return False
