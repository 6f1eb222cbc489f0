"""How the service is: `/`, `/health`, `/config`, `/metrics`."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from agent_assets.serving.context import OperatorDep, ServicesDep
from agent_assets.serving.proxies import client_address

router = APIRouter(tags=["status"])


@router.get("/")
async def root() -> dict[str, Any]:
    """Name, version and links."""
    links = {"docs": "/docs", "openapi": "/openapi.json", "health": "/health", "models": "/models"}
    return {"name": "agent-assets", "version": version("agent-assets"), "links": links}


@router.get("/health", responses={503: {"description": "One of what answering needs has failed."}})
async def health(request: Request, serving: ServicesDep, response: Response) -> dict[str, Any]:
    """The state of each dependency, with 503 when one that answering needs has failed.

    The model server is `cold` until somebody asks an agent: that is healthy.
    """
    address = client_address(request, serving.config.proxies)
    if not serving.limit.take(f"health {address}"):
        raise HTTPException(429)
    states = await serving.health.states()
    inference = serving.inference.state
    parts = {**states, "inference": inference}
    # Without Dagster agents still answer: only training cannot be started.
    answering = states["store"] == "ok" and states["mongodb"] == "ok" and inference != "failed"
    status = "ok" if answering else "degraded"
    response.status_code = 200 if status == "ok" else 503
    return {
        "status": status,
        "dependencies": parts,
        "damaged_releases": len(serving.released.damaged),
    }


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
    serving.metrics.loaded.set(len(serving.inference.loaded))
    serving.metrics.restarts.set(serving.inference.restarts)
    await serving.health.states()
    content = await run_in_threadpool(generate_latest, serving.metrics.registry)
    return Response(content, media_type=CONTENT_TYPE_LATEST)
