"""`agent-assets serve`: the API on one address, with its log on standard output."""

import logging
import signal
import sys
from typing import Any, TextIO

import uvicorn

from agent_assets.erasure.forgetting import finished_erasures
from agent_assets.errors import ConfigError
from agent_assets.free_ports import port_free
from agent_assets.runs.installation import mongodb_environment
from agent_assets.serving.app import create_app
from agent_assets.serving.connections import connections_within
from agent_assets.serving.door import check_reachable, is_this_machine
from agent_assets.serving.earlier_versions import seal_older_tokens
from agent_assets.serving.guard import JsonLines
from agent_assets.serving.tokens import DATABASE, Tokens
from agent_assets.serving_settings import ServingConfig, load_serving
from agent_assets.settings import Settings

_DRAIN_SECONDS = 30
log = logging.getLogger("agent_assets.serving")


def serve_api(settings: Settings, *, host: str, port: int) -> int:
    """Serve until a signal comes; answers that are on their way are finished first.

    Raises:
        ConfigError: the port is taken, or the address is not loopback and no token was ever made.
    """
    if is_this_machine(host) and not port_free(port):
        raise ConfigError(
            f"Port {port} is taken.", next_step="stop what uses it, or choose another with --port."
        )
    _log_to(sys.stdout)
    # uvicorn drains on a signal and then raises it again: as it stood before, that ended this
    # process (and left the mongod it had started) at once. Ctrl-C's handler lets everything opened
    # here be closed, whatever the signal.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with mongodb_environment(settings) as opened:
        if ids := seal_older_tokens(opened):  # `up` has done it already
            log.warning(
                "tokens of an earlier version are sealed now", extra={"fields": {"tokens": ids}}
            )
        tokens = Tokens(opened.mongodb_uri or "", opened, DATABASE)
        try:
            check_reachable(host, tokens)
        finally:
            tokens.close()
        for line in finished_erasures(opened):
            log.warning(line)
        config = load_serving()
        uvicorn.run(create_app(opened, config), host=host, port=port, **server_settings(config))
    return 0


def server_settings(config: ServingConfig) -> dict[str, Any]:
    """What uvicorn is told besides where it listens."""
    return {
        "http": connections_within(config.connections, config.proxies),
        "h11_max_incomplete_event_size": config.connections.header_bytes,
        "ws": "none",
        "log_config": None,
        "access_log": False,
        # Whose a connection is decides who is let in: no header of a proxy may say something else.
        # The limits by address read those of our own proxies (proxies.py).
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": _DRAIN_SECONDS,
        "timeout_keep_alive": 30,
    }


def _log_to(stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name in ("agent_assets.serving", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
