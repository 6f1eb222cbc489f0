"""Making a running server hold an adapter, or not hold it any more. Blocking: call it from a
thread.

Names are made from content: a server that holds the name already, from before this process or from
a call that nobody waited for, holds the right adapter.
"""

from pathlib import Path

import httpx

from agent_assets.engines.servers.base import InferenceServer
from agent_assets.errors import EngineFailed

_SECONDS = 30.0


def ensure_loaded(server: InferenceServer, base_url: str, name: str, folder: Path) -> None:
    """Make the server hold an adapter.

    Raises:
        EngineFailed: it does not take it, or does not answer.
    """
    try:
        server.load_adapter(base_url, name, folder)
    except EngineFailed:
        if name not in _held(base_url):
            raise


def ensure_unloaded(server: InferenceServer, base_url: str, name: str) -> None:
    """Make the server hold an adapter no more.

    Raises:
        EngineFailed: it does not let it go, or does not answer.
    """
    try:
        server.unload_adapter(base_url, name)
    except EngineFailed:
        if name in _held(base_url):
            raise


def _held(base_url: str) -> set[str]:
    try:
        reply = httpx.get(f"{base_url}/models", timeout=_SECONDS)
        reply.raise_for_status()
        return {model["id"] for model in reply.json()["data"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise EngineFailed(
            f"The inference server does not list its models ({type(error).__name__}).",
            next_step="read its log among the logs of the installation.",
        ) from None
