"""The app: services, middleware, routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_assets.release.commands import open_store
from agent_assets.serving.a2a.server import A2aServer
from agent_assets.serving.answering import Answering
from agent_assets.serving.browsers import Pages
from agent_assets.serving.context import Services
from agent_assets.serving.dagster_web import DagsterWeb
from agent_assets.serving.door import Door
from agent_assets.serving.guard import Guard, Metrics, Places, RateLimit
from agent_assets.serving.health import HealthProbe
from agent_assets.serving.inference import Inference
from agent_assets.serving.jobs import Jobs
from agent_assets.serving.letting_go import LettingGo
from agent_assets.serving.operations import Operations
from agent_assets.serving.problems import add_handlers
from agent_assets.serving.released import Released
from agent_assets.serving.routes import (
    a2a,
    chat,
    elders,
    login,
    models,
    openai,
    status,
    training,
)
from agent_assets.serving.schemas import Problem
from agent_assets.serving.seals import Seal
from agent_assets.serving.tokens import DATABASE, Tokens
from agent_assets.serving.webapp.site import add_web_app
from agent_assets.serving_settings import ServingConfig
from agent_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from agent_assets.pipeline.stage import PipelineSpec

_ERRORS = (400, 401, 403, 404, 409, 413, 422, 429, 503)


def create_app(settings: Settings, config: ServingConfig) -> FastAPI:
    """The API of one installation. Nothing is started or connected before the first request that
    needs it.
    """
    services = _services(settings, config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = (
            asyncio.create_task(services.answering.warm_up()) if config.inference.warm_up else None
        )
        letting_go = LettingGo(
            settings.home,
            services.inference,
            services.answering.sessions,
            wait_s=config.answers.seconds,
            forget=app.state.a2a.forget,
        )
        heeding = asyncio.create_task(letting_go.watch())
        yield
        heeding.cancel()
        await asyncio.gather(heeding, return_exceptions=True)
        if warming is not None:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
        await services.answering.sessions.close()
        await services.inference.close()
        await asyncio.to_thread(web.close)
        services.jobs.close()
        services.tokens.close()

    problem: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}
    app = FastAPI(
        title="agent-assets",
        version=version("agent-assets"),
        description="Released agents that answer, training with progress, models.",
        lifespan=lifespan,
        responses=dict.fromkeys(_ERRORS, problem),
        # Spans would carry what people say.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _write_document_once(app)
    app.state.services = services
    app.state.a2a = A2aServer(services)
    add_handlers(app)
    for routes in (status, login, chat, openai, a2a, training, models, elders):
        app.include_router(routes.router)
    web = add_web_app(app, services, database=DATABASE)
    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(
        Guard,
        metrics=services.metrics,
        pages=Pages(services.tokens.any, config.cors_origins),
        max_body_bytes=config.max_body_bytes,
    )
    return app


def _write_document_once(app: FastAPI) -> None:
    """FastAPI writes its OpenAPI document for every request, which takes milliseconds of the one
    thread that answers everybody: who asks for it again and again would hold them up.
    """

    @cache
    def document() -> bytes:
        return bytes(JSONResponse(app.openapi()).body)

    async def openapi(request: Request) -> Response:
        return Response(document(), media_type="application/json")

    app.router.routes.insert(0, Route("/openapi.json", openapi, include_in_schema=False))


def _services(settings: Settings, config: ServingConfig) -> Services:
    from agent_assets.engines.local_engines import LocalEngines

    released, seal = Released(open_store(settings), config.model_prefix), Seal.of(settings)
    tokens = Tokens(settings.mongodb_uri or "", settings, DATABASE)
    engines = LocalEngines(
        environments=str(settings.engines), device=settings.device, home=str(settings.home)
    )
    logs = settings.home / "logs"
    inference = Inference(engines, config.inference, logs, released.bases)
    jobs = Jobs(settings, DagsterWeb(settings.dagster_url, seal))
    health, metrics = HealthProbe(released.store, tokens.ping, jobs.web.ping), Metrics()
    metrics.registry.register(Operations(settings, released, lambda: health.last))
    return Services(
        settings=settings,
        config=config,
        released=released,
        inference=inference,
        answering=Answering(
            released, inference, config.answers, pipeline_of, logs, config.trace_chats
        ),
        jobs=jobs,
        tokens=tokens,
        door=Door(tokens, seal),
        metrics=metrics,
        limit=RateLimit(config.requests_per_minute),
        places=Places(config.answers_at_once),
        exports=Places(config.exports_at_once),
        health=health,
        open_to_all=open_to_all,
    )


def pipeline_of(name: str) -> "PipelineSpec":
    """A pipeline of this installation.

    Raises:
        ServingError: its definition is gone.
    """
    from agent_assets.errors import ServingError

    pipeline = _pipelines().get(name)
    if pipeline is None:
        raise ServingError(
            f"The pipeline {name} is not defined any more.", next_step="restore its defs.yaml."
        )
    return pipeline


def open_to_all(name: str) -> bool:
    """Whether every token may ask the agent of a pipeline without elders."""
    pipeline = _pipelines().get(name)
    return (
        pipeline is not None
        and not pipeline.partitioned
        and pipeline.config.asked_with == "any_token"
    )


@cache
def _pipelines() -> "dict[str, PipelineSpec]":
    from agent_assets.automation.pipelines import load_graphs

    return {graph.name: graph.spec for graph in load_graphs()}


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, without starting anything."""
    settings = replace(load_settings({}), store="memory://", secret="0" * 32)
    return create_app(settings, ServingConfig()).openapi()
