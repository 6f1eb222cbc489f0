"""Sends what waits in the outbox, signed, a bounded number of times."""

import hashlib
import hmac
import logging
import time

import httpx

from agent_assets.alerts.config import AlertsConfig
from agent_assets.alerts.outbox import Outbox, Waiting

log = logging.getLogger("agent_assets.alerts")
SIGNATURE, TIMESTAMP, ID = (
    "X-Agent-Assets-Signature",
    "X-Agent-Assets-Timestamp",
    "X-Agent-Assets-Id",
)
_FIRST_WAIT_S = 60.0
_AT_ONCE = 5  # a tick of Dagster ends after 60 s
_REFUSED = range(400, 500)
_TRY_AGAIN = (408, 425, 429)


def deliver(outbox: Outbox, config: AlertsConfig, secret: str | None, *, now: float) -> int:
    """Send what is due; returns how many were taken. Does not raise: what is not taken waits, and
    is counted as lost after `max_attempts`, or at once where the webhook refuses it.

    Args:
        secret: signs each request; None sends them unsigned.
    """
    taken = 0
    for waiting in outbox.due(now)[:_AT_ONCE]:
        if config.url is None:
            outbox.lost(waiting)
            continue
        refused, problem = post(config.url, waiting, secret, config.timeout_s)
        if problem is None:
            outbox.sent(waiting)
            taken += 1
        elif refused or waiting.attempts + 1 >= config.max_attempts:
            log.error("alert %s is lost: %s", waiting.event, problem)
            outbox.lost(waiting)
        else:
            log.warning("alert %s was not taken: %s", waiting.event, problem)
            outbox.failed(waiting, next_at=now + _FIRST_WAIT_S * 2**waiting.attempts)
    return taken


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a receiver compares: HMAC-SHA256 of `<timestamp>.<body>`, as `sha256=<hex>`."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def post(
    url: str, waiting: Waiting, secret: str | None, timeout_s: float
) -> tuple[bool, str | None]:
    """Send an alert once. Whether the webhook refused it for good, and what went wrong; None when
    it was taken.
    """
    body, timestamp = waiting.content.encode(), str(int(time.time()))
    headers = {"Content-Type": "application/json", TIMESTAMP: timestamp, ID: waiting.id}
    if secret is not None:
        headers[SIGNATURE] = signature(secret, timestamp, body)
    try:
        reply = httpx.post(url, content=body, headers=headers, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return False, type(error).__name__  # its text may hold the URL, which may hold a key
    if reply.is_success:
        return False, None
    refused = reply.status_code in _REFUSED and reply.status_code not in _TRY_AGAIN
    return refused, f"status {reply.status_code}"
