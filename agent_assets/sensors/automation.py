"""The schedule and the sensor: what is stale is refreshed at night, new and changed elders between
nights.

Cron, time zone, debounce, caps and what happens to removed elders are set in defs/automation.yaml
of the project. Both ask for runs through one memory of requests, so they never ask for the same run
twice.
"""

from datetime import UTC, date, datetime

import dagster as dg

from agent_assets.automation.config import AutomationConfig, load_automation


def build_automation() -> dg.Definitions:
    """One schedule and one sensor over all pipelines."""
    config = load_automation()
    return dg.Definitions(schedules=[build_schedule(config)], sensors=[build_sensor(config)])


def build_schedule(config: AutomationConfig) -> dg.ScheduleDefinition:
    """The nightly refresh."""

    @dg.schedule(
        name="nightly_refresh",
        target=dg.AssetSelection.all(),
        cron_schedule=config.nightly.cron,
        execution_timezone=config.nightly.timezone,
        description="Compares the content of all elders, tools and weights with what was built, "
        "and refreshes what is "
        "stale: one run per elder with its stale assets, shared assets first.",
        default_status=_schedule_status(config.nightly.enabled),
    )
    def nightly_refresh(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        requests, message = _evaluate(
            context.instance, config, night_of=context.scheduled_execution_time.date()
        )
        context.log.info(message)
        return requests or dg.SkipReason(message)

    return nightly_refresh


def build_sensor(config: AutomationConfig) -> dg.SensorDefinition:
    """New, changed and removed elders."""

    @dg.sensor(
        name="elders_sensor",
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=config.watch.interval_s,
        description="Notices new, changed and removed elders, keeps the partitions in step, and "
        "starts runs for what "
        "is stale once an elder has stopped writing.",
        default_status=_sensor_status(config.watch.enabled),
    )
    def elders_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        requests, message = _evaluate(context.instance, config, night_of=None)
        context.log.info(message)
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else message, cursor=message[:500]
        )

    return elders_sensor


def _evaluate(
    instance: dg.DagsterInstance, config: AutomationConfig, *, night_of: date | None
) -> tuple[list[dg.RunRequest], str]:
    from agent_assets.automation.planner import load_installation
    from agent_assets.automation.ticks import night, watch
    from agent_assets.settings import load_settings

    installation = load_installation(load_settings())
    now = datetime.now(UTC)
    try:
        if night_of is None:
            tick = watch(installation, instance, config, now)
        else:
            tick = night(installation, instance, config, now, date=night_of.isoformat())
    finally:
        installation.mongo.close()
    requests = [
        dg.RunRequest(
            run_key=request.run_key,
            partition_key=request.run.partition,
            asset_selection=[dg.AssetKey([request.run.pipeline, name]) for name in request.assets],
            tags=dict(tick.run_tags[request.run_key]),
        )
        for request in tick.requests
    ]
    return requests, tick.message


def _schedule_status(enabled: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if enabled else dg.DefaultScheduleStatus.STOPPED


def _sensor_status(enabled: bool) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED
