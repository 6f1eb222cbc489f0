"""`agent-assets alerts`."""

import json
import time
import uuid

import click

from agent_assets.alerts.config import AlertsConfig, Event
from agent_assets.alerts.outbox import LOST, NOTICED, SENT, Outbox, Waiting
from agent_assets.alerts.webhook import post
from agent_assets.errors import ConfigError
from agent_assets.settings import Settings, secret_variable


def show_alerts(settings: Settings, config: AlertsConfig) -> int:
    """Print counts of each event, and where alerts go."""
    outbox = Outbox(settings.home)
    counts = outbox.counts()
    for event in sorted({event for event, _ in counts}):
        noticed, sent, lost = (counts.get((event, result), 0) for result in (NOTICED, SENT, LOST))
        click.echo(f"{event:<16} {noticed} noticed, {sent} sent, {lost} lost")
    where = "nowhere: alerts.url is not set" if config.url is None else "to the webhook"
    signed = (
        "signed" if secret_variable(config.secret_env) else f"unsigned: set {config.secret_env}"
    )
    click.echo(f"{outbox.waiting()} wait; they go {where}" + (f", {signed}" if config.url else ""))
    return 0


def send_test(settings: Settings, config: AlertsConfig) -> int:
    """Send one alert now, in one attempt, and say whether it was taken.

    Raises:
        ConfigError: there is no webhook.
    """
    if config.url is None:
        raise ConfigError(
            "There is no webhook.",
            next_step="set alerts.url in a copy of automation.yaml, and name that in "
            "AGENT_ASSETS_AUTOMATION.",
        )
    content = {"event": Event.TEST, "at": time.time(), "summary": "A test of agent-assets alerts."}
    waiting = Waiting(uuid.uuid4().hex, Event.TEST, json.dumps(content), 0)
    _, problem = post(config.url, waiting, secret_variable(config.secret_env), config.timeout_s)
    click.echo("the webhook took it" if problem is None else f"not taken: {problem}")
    return 0 if problem is None else 1
