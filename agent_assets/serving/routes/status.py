"""How the service is: `/`, `/health`, `/config`, `/metrics`."""

import asyncio
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from agent_assets.errors import AgentAssetsError
from agent_assets.serving.context import OperatorDep, ServicesDep
from agent_assets.store.artifact_store import ArtifactStore

router = APIRouter(tags=["status"])
_PROBE_SECONDS = 2.0


@router.get("/")
async def root() -> dict[str, Any]:
    """Name, version and links."""
    links = {"docs": "/docs", "openapi": "/openapi.json", "health": "/health", "models": "/models"}
    return {"name": "agent-assets", "version": version("agent-assets"), "links": links}


@router.get("/health", responses={503: {"description": "One of what answering needs has failed."}})
async def health(serving: ServicesDep, response: Response) -> dict[str, Any]:
    """The state of each dependency, with 503 when one that answering needs has failed.

    The model server is `cold` until somebody asks an agent: that is healthy.
    """
    store, mongo, dagster = await asyncio.gather(
        _probe(lambda: _store_answers(serving.released.store)),
        _probe(_mongo(serving)),
        _probe(serving.jobs.web.ping),
    )
    server = serving.inference.current
    inference = "cold" if server is None else server.state
    parts = {"store": store, "mongodb": mongo, "dagster": dagster, "inference": inference}
    # Without Dagster agents still answer: only training cannot be started.
    status = "ok" if store == "ok" and mongo == "ok" and inference != "failed" else "degraded"
    response.status_code = 200 if status == "ok" else 503
    return {"status": status, "dependencies": parts}


@router.get("/config")
async def config(serving: ServicesDep, caller: OperatorDep) -> dict[str, Any]:
    """What is in effect; no secrets, no addresses of databases."""
    settings = serving.settings
    content = serving.config.model_dump(mode="json")
    content["inference"]["url"] = serving.config.inference.url is not None
    return {
        "serving": content,
        "device": settings.device,
        "mongodb_database": settings.mongodb_database,
    }


@router.get("/metrics", response_class=Response)
async def metrics(serving: ServicesDep, caller: OperatorDep) -> Response:
    """Prometheus metrics."""
    server = serving.inference.current
    if server is not None:
        serving.metrics.loaded.set(len(server.pool.loaded))
        serving.metrics.restarts.set(server.restarts)
    return Response(generate_latest(serving.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _probe(work: Any) -> str:
    try:
        done = await asyncio.wait_for(run_in_threadpool(work), _PROBE_SECONDS)
    except (TimeoutError, AgentAssetsError, OSError) as error:
        return f"failed ({type(error).__name__})"
    return "ok" if done is not False else "absent"


def _store_answers(store: ArtifactStore) -> bool:
    store.filesystem.exists(store.root)
    return True


def _mongo(serving: ServicesDep) -> Any:
    return serving.tokens.ping
