"""What Dagster's history says: runs that failed, candidates that the gate held back."""

import json
from collections.abc import Iterable

import dagster as dg

from agent_assets.alerts.config import AlertsConfig, Event
from agent_assets.alerts.outbox import Outbox
from agent_assets.alerts.watch import notice

# As `planning.history` tags runs; a retry that follows is Dagster's own tag.
_PIPELINE_TAG, _WILL_RETRY_TAG = "agent_assets/pipeline", "dagster/will_retry"
_RELEASE = "release"
_HELD = ("HOLD", "REJECT")
_AT_ONCE = 500


def notice_failed_run(
    outbox: Outbox, config: AlertsConfig, run: dg.DagsterRun, *, now: float
) -> None:
    """Notice a failed run, unless Dagster starts it again by itself. Whose run it is is not told:
    its id leads there.
    """
    if run.tags.get(_WILL_RETRY_TAG) == "true":
        return
    content = {
        "summary": "A run failed, and nothing starts it again before the night.",
        "run_id": run.run_id,
        "pipeline": run.tags.get(_PIPELINE_TAG, ""),
        "next_step": f"read the run in the Dagster UI: /runs/{run.run_id}",
    }
    notice(outbox, config, Event.RUN_FAILED, run.run_id, content, now=now)


def notice_held_candidates(
    outbox: Outbox,
    config: AlertsConfig,
    instance: dg.DagsterInstance,
    pipelines: Iterable[str],
    cursor: str | None,
    *,
    now: float,
) -> str:
    """Notice candidates that were judged since the cursor and do not answer; returns the next
    cursor. The first look begins with what comes after it.
    """
    seen: dict[str, int] = json.loads(cursor) if cursor else {}
    for pipeline in pipelines:
        key = dg.AssetKey([pipeline, _RELEASE])
        if pipeline not in seen:
            latest = instance.fetch_materializations(key, limit=1).records
            seen[pipeline] = latest[0].storage_id if latest else 0
            continue
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, after_storage_id=seen[pipeline]),
            limit=_AT_ONCE,
            ascending=True,
        ).records
        for record in records:
            seen[pipeline] = record.storage_id
            verdict = _verdict(record)
            if verdict not in _HELD:
                continue
            content = {
                "summary": "The gate held a candidate back; what answered before still does.",
                "verdict": verdict,
                "pipeline": pipeline,
                "run_id": record.run_id,
                "next_step": f"read its reasons in the Dagster UI: /runs/{record.run_id}",
            }
            key_of_event = f"{pipeline}/{record.storage_id}"
            notice(outbox, config, Event.CANDIDATE_HELD, key_of_event, content, now=now)
    return json.dumps(seen, sort_keys=True)


def _verdict(record: dg.EventLogRecord) -> str:
    materialization = record.asset_materialization
    value = None if materialization is None else materialization.metadata.get("verdict")
    return str(value.value) if value is not None else ""
