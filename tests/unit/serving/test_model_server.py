"""Starts of a model server: one at a time, whoever waits for it or leaves. The process is one that
does nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import EngineFailed, ServingError
from agent_assets.serving import model_server
from agent_assets.serving.model_server import ModelServer
from agent_assets.serving_settings import InferenceConfig
from support.pretend_servers import PretendEngines, Processes, pretend_processes
from support.waiting import wait_for


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    return pretend_processes(monkeypatch)


@dataclass
class Adapters:
    """What a server holds; it refuses what it holds already and what is `gone`."""

    loaded: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    async def load(self, name: str, path: Path) -> None:
        if name in self.gone:
            raise EngineFailed("It refused.", next_step="")
        self.loaded.add(name)


def _server(folder: Path, **config: Any) -> ModelServer:
    return ModelServer(
        cast(LocalEngines, PretendEngines(str(folder))),
        InferenceConfig(**config),
        folder,
        "abc",
        folder,
    )


async def _until(what: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, what, every=0.01)


def test_a_start_goes_on_when_everybody_who_waited_has_left_and_is_the_only_one(
    tmp_path: Path, processes: Processes
) -> None:
    async def run() -> None:
        server = _server(tmp_path)
        for _ in range(3):
            start = asyncio.create_task(server.ensure())
            await _until(lambda: processes.started)
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
        assert (len(processes.started), server.state) == (1, "starting")
        processes.ready.set()
        await server.ensure()
        assert (len(processes.started), server.state) == (1, "ready")
        await server.close()
        assert (processes.running, server.state) == (0, "cold")

    asyncio.run(run())


def test_who_waited_too_long_is_told_and_the_next_one_waits_for_the_same_start(
    tmp_path: Path, processes: Processes
) -> None:
    async def run() -> None:
        server = _server(tmp_path, wait_seconds=0.1)
        for _ in range(2):
            with pytest.raises(ServingError, match="still starting"):
                await server.ensure()
        processes.ready.set()
        await _until(lambda: server.state == "ready")
        await server.ensure()
        assert len(processes.started) == 1 and server.restarts == 0
        await server.close()

    asyncio.run(run())


def test_a_start_that_failed_is_tried_again_though_nobody_asks(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_server, "_WATCH_SECONDS", 0.01)

    async def run() -> None:
        server = _server(tmp_path)
        start = asyncio.create_task(server.ensure())
        await _until(lambda: processes.started)
        processes.started[0].over.set()
        with pytest.raises(EngineFailed):
            await start
        processes.ready.set()
        await _until(lambda: server.state == "ready")
        assert processes.running == 1
        await server.close()

    asyncio.run(run())


def test_closing_ends_a_server_that_is_starting(tmp_path: Path, processes: Processes) -> None:
    async def run() -> None:
        server = _server(tmp_path)
        start = asyncio.create_task(server.ensure())
        await _until(lambda: processes.started)
        await server.close()
        with pytest.raises(EngineFailed):
            await start
        assert (processes.running, server.state) == (0, "cold")
        with pytest.raises(ServingError, match="ended"):
            await server.ensure()

    asyncio.run(run())


def test_a_start_that_failed_leaves_nothing_behind_and_the_next_one_starts_anew(
    tmp_path: Path, processes: Processes
) -> None:
    async def run() -> None:
        server = _server(tmp_path)
        start = asyncio.create_task(server.ensure())
        await _until(lambda: processes.started)
        processes.started[0].over.set()
        with pytest.raises(EngineFailed):
            await start
        assert server.state == "failed"
        processes.ready.set()
        await server.ensure()
        assert (server.state, processes.running, server.restarts) == ("ready", 1, 0)
        await server.close()

    asyncio.run(run())


def test_after_a_crash_an_adapter_that_is_gone_costs_only_its_own_agent(
    tmp_path: Path, processes: Processes
) -> None:
    async def use(server: ModelServer, name: str) -> None:
        async with server.use(name, tmp_path):
            pass

    async def run() -> None:
        server, adapters = _server(tmp_path), Adapters()
        server.pool._load = adapters.load
        processes.ready.set()
        for name in ("old", "good"):
            await use(server, name)
        adapters.gone.add("old")
        processes.started[0].over.set()
        await use(server, "good")
        assert (server.state, server.restarts, list(server.pool.loaded)) == ("ready", 1, ["good"])
        with pytest.raises(EngineFailed):
            await use(server, "old")
        await use(server, "good")
        assert processes.running == 1
        await server.close()

    asyncio.run(run())
