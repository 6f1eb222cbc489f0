"""Open runs of one Dagster instance, and which elder or pipeline a run is about."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

JOB_TAG = "agent_assets/job"
_RUN_ID_CHARS = 36
_FEW = 20  # runs that are read of one elder
MOST = 200  # runs that are read where they are not asked for by name


def job_id_of(run: "dg.DagsterRun") -> str:
    """What the API calls a run: the id it gave the job, or the run's own when others started it."""
    return run.tags.get(JOB_TAG) or run.run_id


def run_of_job(instance: "dg.DagsterInstance", job: str) -> "dg.DagsterRun | None":
    """The run that the API calls so; None where there is none."""
    import dagster as dg

    runs = list(instance.get_runs(filters=dg.RunsFilter(tags={JOB_TAG: job}), limit=1))
    if runs:
        return runs[0]
    return instance.get_run_by_id(job) if len(job) == _RUN_ID_CHARS else None


def elder_or_pipeline(run: "dg.DagsterRun") -> str:
    """The elder of a run, or its pipeline."""
    from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG

    tagged = (
        run.tags.get(ELDER_TAG) or run.tags.get("dagster/partition") or run.tags.get(PIPELINE_TAG)
    )
    return tagged or next((key.path[0] for key in run.asset_selection or ()), "")


def open_runs_of(instance: "dg.DagsterInstance", agent: str) -> "list[dg.DagsterRun]":
    """Every run of an elder or a pipeline that waits or goes on. Those without tags of ours, which
    people start in the Dagster UI, are looked for among the latest runs.
    """
    import dagster as dg

    from agent_assets.dagster_internals import NOT_FINISHED_STATUSES
    from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG

    statuses = list(NOT_FINISHED_STATUSES)
    by_id = {run.run_id: run for run in _latest(instance, statuses)}
    for tag in (ELDER_TAG, "dagster/partition", PIPELINE_TAG):
        runs = instance.get_runs(filters=dg.RunsFilter(statuses=statuses, tags={tag: agent}))
        by_id |= {run.run_id: run for run in runs}
    return [run for run in by_id.values() if elder_or_pipeline(run) == agent]


def latest_run_of(instance: "dg.DagsterInstance", agent: str) -> "dg.DagsterRun | None":
    """The latest run of an elder or a pipeline, whoever started it."""
    import dagster as dg

    from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG

    records = {record.storage_id: record for record in _latest_records(instance)}
    for tag in (ELDER_TAG, "dagster/partition", PIPELINE_TAG):
        tagged = instance.get_run_records(filters=dg.RunsFilter(tags={tag: agent}), limit=_FEW)
        records |= {record.storage_id: record for record in tagged}
    own = [
        storage_id
        for storage_id, record in records.items()
        if elder_or_pipeline(record.dagster_run) == agent
    ]
    return records[max(own)].dagster_run if own else None


def open_runs(instance: "dg.DagsterInstance") -> "tuple[int, list[dg.DagsterRun]]":
    """How many runs wait or go on, and the first of them: those that go on, then those that wait,
    the latest first.
    """
    import dagster as dg
    from dagster import DagsterRunStatus

    from agent_assets.dagster_internals import NOT_FINISHED_STATUSES

    waiting = {DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED}
    going_on = [status for status in NOT_FINISHED_STATUSES if status not in waiting]
    total = instance.get_runs_count(dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES)))
    runs = [*_latest(instance, going_on), *_latest(instance, list(waiting))]
    runs = runs[:MOST]
    return max(total, len(runs)), runs  # one may have been started since they were counted


def _latest_records(instance: "dg.DagsterInstance") -> "list[dg.RunRecord]":
    """Open runs that carry no tag of ours yet are among these."""
    import dagster as dg

    from agent_assets.dagster_internals import NOT_FINISHED_STATUSES

    filters = dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES))
    return list(instance.get_run_records(filters=filters, limit=MOST))


def _latest(
    instance: "dg.DagsterInstance", statuses: "list[dg.DagsterRunStatus]"
) -> "list[dg.DagsterRun]":
    import dagster as dg

    return list(instance.get_runs(filters=dg.RunsFilter(statuses=statuses), limit=MOST))
