"""`agent-assets ui`: Dagster's web app and its guard in one process: the app without a guard
listens nowhere.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import uvicorn
from starlette.applications import Starlette

from agent_assets.dagster_internals import WorkspaceFileTarget, WorkspaceProcessContext
from agent_assets.errors import ConfigError
from agent_assets.runs.instance import open_instance
from agent_assets.serving.connections import connections_within
from agent_assets.serving.door import Door, check_reachable
from agent_assets.serving.seals import Seal
from agent_assets.serving.tokens import DATABASE, Tokens
from agent_assets.serving.ui.guard import UiGuard
from agent_assets.serving.ui.webserver import create_webserver
from agent_assets.serving_settings import ConnectionLimits
from agent_assets.settings import Settings

# As `dagster-webserver` has them: seconds for a statement in milliseconds, seconds until a
# connection is renewed, and how many connections more than the pool holds.
_STATEMENT_MS, _RECYCLE_SECONDS, _OVERFLOW = 15_000, 3600, 20
_DRAIN_SECONDS = 3
_LIMITS = ConnectionLimits()


def run_ui(settings: Settings, *, host: str, port: int) -> int:
    """Serve the UI until a signal comes.

    Raises:
        ConfigError: nothing of this installation runs whose runs it could show, or the address is
            not loopback and no token was ever made.
    """
    if not settings.workspace.is_file():
        raise ConfigError(
            "There is no code server for the UI.",
            next_step="start everything with `agent-assets up`, or one with `agent-assets "
            "code-server`.",
        )
    tokens = Tokens(settings.mongodb_uri or "", settings, DATABASE)
    try:
        check_reachable(host, tokens)
        with open_instance(settings) as instance:
            instance.optimize_for_webserver(_STATEMENT_MS, _RECYCLE_SECONDS, _OVERFLOW)
            target = WorkspaceFileTarget([str(settings.workspace)])
            with WorkspaceProcessContext(
                instance, target, version=version("dagster-webserver")
            ) as workspace:
                app = UiGuard(
                    create_webserver(workspace, lifespan=_lifespan), Door(tokens, Seal.of(settings))
                )
                _serve(app, host, port)
    finally:
        tokens.close()
    return 0


def _serve(app: UiGuard, host: str, port: int) -> None:
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=connections_within(_LIMITS),
        h11_max_incomplete_event_size=_LIMITS.header_bytes,
        log_level="warning",
        # Whose a connection is decides who is let in: no header of a proxy may say something else.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,  # open pages hold websockets forever
    )


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    # Raised on Ctrl-C (encode/uvicorn#1160): the server is going down as wanted.
    with suppress(asyncio.CancelledError):
        yield
