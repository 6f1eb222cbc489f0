"""Processes of model servers that do nothing: for tests of who starts, waits and leaves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_assets.engines.devices.gpu import Device
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.servers import serve as engine_server
from agent_assets.engines.servers.base import InferenceServer
from agent_assets.engines.servers.choice import SERVER
from agent_assets.errors import EngineFailed
from support.waiting import wait_for


@dataclass
class Processes:
    """Every process that was started; they are ready when `ready` is set."""

    started: list["Process"] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> int:
        return len(self.models)

    @property
    def models(self) -> list[str]:
        """Names of the folders that are served now."""
        return [process.model for process in self.started if not process.over.is_set()]


@dataclass
class Process:
    ready: threading.Event
    model: str
    asked: dict[str, Any]
    over: threading.Event = field(default_factory=threading.Event)
    pid: int = 1

    def poll(self) -> int | None:
        return -9 if self.over.is_set() else None

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.ready.is_set() or self.over.is_set(), every=0.01)
        if self.over.is_set():
            raise EngineFailed("It ended.", next_step="")


@dataclass
class PretendEngines:
    """An engine environment, and GPUs where there are some."""

    home: str
    gpus: tuple[Device, ...] = ()
    server: InferenceServer = SERVER

    def environment(self) -> EngineEnv:
        return EngineEnv("gpu" if self.gpus else "cpu", Path("python"))

    def devices(self) -> list[Device]:
        return list(self.gpus)


def pretend_processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """From now on model servers are such processes."""
    processes = Processes()

    @contextmanager
    def serve(
        server: InferenceServer, *, model_dir: Path, wait: bool = True, **asked: Any
    ) -> Iterator[Any]:
        process = Process(processes.ready, model_dir.name, asked)
        processes.started.append(process)
        try:
            if wait:
                process.wait_until_ready()
            yield SimpleNamespace(
                base_url="http://x/v1",
                engine=SimpleNamespace(process=process),
                wait_until_ready=process.wait_until_ready,
                peak_memory_bytes=0,
            )
        finally:
            process.over.set()

    monkeypatch.setattr(engine_server, "serve_model", serve)
    return processes
