"""Where engines run that work side by side under one lease, and under which limits."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.servers.base import InferenceServer
from agent_assets.engines.servers.choice import SERVER


@dataclass(frozen=True)
class EngineContext:
    """A place for several engines.

    Args:
        lease: the device they share; None reserves none.
        limits: of each engine.
        log_dir: their logs.
        failed_logs: folder that keeps the log of a failed server.
        server: what serves models on it.
        another: leases a second GPU; None where there is none.
        tool_call_parser: what reads tool calls; None takes the one that fits the chat template.
    """

    env: EngineEnv
    lease: GpuLease | None
    limits: EngineLimits
    log_dir: Path
    failed_logs: Path
    server: InferenceServer = SERVER
    another: Callable[[], AbstractContextManager[GpuLease]] | None = None
    tool_call_parser: str | None = None
