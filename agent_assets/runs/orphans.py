"""Runs whose process is gone: marked as failed, and what they held or claimed in Dagster's pools is
given back.

The code server watches the processes of the runs it started, for as long as it lives itself; nobody
watches a run executed in a process of ours, or those of a machine that lost its power. Such a run
would keep its place in the pool forever, and its elder would never be refreshed.
"""

import os
import socket
from pathlib import Path

import dagster as dg

from agent_assets.dagster_internals import GRPC_INFO_TAG, IN_PROGRESS_RUN_STATUSES

PROCESS_TAG = "agent_assets/process"
_GONE = "The process of this run is gone: it was killed. Start the run again."
_NEVER_QUEUED = "Who asked for this run was killed before it was in the queue. Start it again."
# The daemon itself goes on with the requests of a sensor, of a backfill, and of a run tried again.
_RESUMED_TAGS = ("dagster/run_key", "dagster/backfill", "dagster/parent_run_id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def process_tag(run_id: str) -> dict[str, str]:
    """The tag that names the process of a run: host, process id, its start (an id is used again),
    and the run.

    The run id is in it because Dagster copies the tags of a run that failed to the one that tries
    again.
    """
    return {PROCESS_TAG: f"{socket.gethostname()}/{_identity(os.getpid())}/{run_id}"}


def release_abandoned_runs(
    instance: dg.DagsterInstance, *, code_server_gone: bool = False
) -> list[str]:
    """Fail the runs of this host whose process is gone; free the pools of whatever has ended.
    Returns their run ids.

    Args:
        code_server_gone: no code server of this installation runs: a run that one was starting, and
            that has not said yet which process it is, has none.
    """
    if code_server_gone:
        _end_those_never_queued(instance)
    abandoned = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        tag = run.tags.get(PROCESS_TAG, "")
        known = tag.endswith(f"/{run.run_id}")
        host, _, owner = (
            tag.removesuffix(f"/{run.run_id}").rpartition("/") if known else ("", "", "")
        )
        lost = code_server_gone and not known and _by_code_server(instance, run)
        if lost or (host == socket.gethostname() and not _alive(owner)):
            if run.status is dg.DagsterRunStatus.CANCELING:  # a failure would be tried again
                instance.report_run_canceled(run, _GONE)
            else:
                instance.report_run_failed(run, _GONE)
            abandoned.append(run.run_id)
    _free_pools_of_ended_runs(instance)
    return abandoned


def _by_code_server(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a code server started a run, or was about to be asked to: the daemon calls a run
    started before it asks.
    """
    starting = run.status is dg.DagsterRunStatus.STARTING
    return GRPC_INFO_TAG in run.tags or (
        starting and isinstance(instance.run_launcher, dg.DefaultRunLauncher)
    )


def _end_those_never_queued(instance: dg.DagsterInstance) -> None:
    """A run is made, and then put into the queue. One that stays between the two counts as going
    on, and nobody could ask for its elder.
    """
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED])
    for run in instance.get_runs(filters=filters):
        if not any(tag in run.tags for tag in (PROCESS_TAG, *_RESUMED_TAGS)):
            instance.report_run_failed(run, _NEVER_QUEUED)


def _free_pools_of_ended_runs(instance: dg.DagsterInstance) -> None:
    """Dagster keeps what a killed run claimed, and gives it the next free slot. Our pools hold
    runs, not steps; an installation of an earlier version has pools of steps, and an operator may
    set them.
    """
    storage = instance.event_log_storage
    infos = [storage.get_concurrency_info(key) for key in storage.get_concurrency_keys()]
    claiming = {slot.run_id for info in infos for slot in info.claimed_slots}
    claiming |= {step.run_id for info in infos for step in info.pending_steps}
    runs = instance.get_runs(filters=dg.RunsFilter(run_ids=sorted(claiming))) if claiming else ()
    going_on = {run.run_id for run in runs if not run.is_finished}
    for run_id in claiming - going_on:
        storage.free_concurrency_slots_for_run(run_id)


def _identity(pid: int) -> str:
    """Process id, its start in ticks since the machine's, and which start of the machine: no clock
    that can be set.
    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    started = stat.rsplit(")", 1)[1].split()[19]  # field 22; the name before it may hold spaces
    return f"{pid}-{started}-{_BOOT_ID.read_text(encoding='utf-8')[:8]}"


def _alive(identity: str) -> bool:
    try:
        return _identity(int(identity.split("-", maxsplit=1)[0])) == identity
    except (FileNotFoundError, ProcessLookupError):
        return False
