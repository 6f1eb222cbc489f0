"""The sensors of alerts (`alerts:` in automation.yaml): failed runs; held candidates, damaged files
and the disk; and the webhook they are sent to.
"""

import json
import time

import dagster as dg

from agent_assets.alerts.config import AlertsConfig
from agent_assets.automation.config import load_automation

_FILES_S = 900.0  # seconds between two looks at every release pointer


def build_alert_sensors() -> dg.Definitions:
    """Both sensors; they count events where there is no webhook."""
    config = load_automation().alerts
    return dg.Definitions(sensors=[build_failed_runs(config), build_alerts(config)])


def build_failed_runs(config: AlertsConfig) -> dg.SensorDefinition:
    """Runs that failed."""

    @dg.run_failure_sensor(
        name="failed_runs",
        description="Counts runs that failed and are not started again, for `/metrics` and alerts.",
        minimum_interval_seconds=config.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        from agent_assets.alerts.dagster_events import notice_failed_run
        from agent_assets.alerts.outbox import Outbox
        from agent_assets.settings import load_settings

        outbox = Outbox(load_settings().home)
        notice_failed_run(outbox, config, context.dagster_run, now=time.time())

    return failed_runs


def build_alerts(config: AlertsConfig) -> dg.SensorDefinition:
    """Held candidates, damaged files, the disk; and sending."""

    @dg.sensor(
        name="alerts",
        description="Counts held candidates, damaged files and little disk space, and sends alerts "
        "to the webhook of automation.yaml.",
        minimum_interval_seconds=config.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = time.time()
        cursor = json.loads(context.cursor or "{}")
        files = abs(now - cursor.get("files_at", 0.0)) >= _FILES_S
        held, sent = _look(context.instance, config, cursor.get("held"), files=files, now=now)
        files_at = now if files else cursor["files_at"]
        context.update_cursor(json.dumps({"held": held, "files_at": files_at}))
        return dg.SkipReason(f"{sent} alerts sent")

    return alerts


def _look(
    instance: dg.DagsterInstance,
    config: AlertsConfig,
    held: str | None,
    *,
    files: bool,
    now: float,
) -> tuple[str, int]:
    from agent_assets.alerts.dagster_events import notice_held_candidates
    from agent_assets.alerts.outbox import Outbox
    from agent_assets.alerts.watch import look
    from agent_assets.alerts.webhook import deliver
    from agent_assets.automation.pipelines import load_graphs
    from agent_assets.release.commands import open_store
    from agent_assets.settings import load_settings, secret_variable

    settings = load_settings()
    outbox = Outbox(settings.home)
    names = [graph.name for graph in load_graphs()]
    cursor = notice_held_candidates(outbox, config, instance, names, held, now=now)
    look(outbox, config, settings, open_store(settings), now=now, files=files)
    return cursor, deliver(outbox, config, secret_variable(config.secret_env), now=now)
