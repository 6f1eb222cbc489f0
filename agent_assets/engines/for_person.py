"""An engine program that somebody waits for at a terminal, outside Dagster."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent_assets.engines.contracts import Program, ProgramMessage
from agent_assets.engines.devices.gpu import lease_device
from agent_assets.engines.environment import ENGINE_CODE
from agent_assets.engines.launch.resident import ResidentProgram
from agent_assets.engines.local_engines import LocalEngines, limits_of

P = TypeVar("P")
A = TypeVar("A", bound=ProgramMessage)
_LEASE_SECONDS = 3600.0


def run_for_person(
    engines: LocalEngines,
    program: Program[P, A],
    params: P,
    *,
    work_dir: Path,
    max_minutes: float,
    max_memory_gb: float,
    report: Callable[[str], None],
    search_path: Path = ENGINE_CODE,
) -> A:
    """Run a program to its end on a device that it has alone.

    Args:
        work_dir: holds its log.
        report: told who holds the device, while it is waited for.
        search_path: where further packages are found.

    Raises:
        EngineTimeout: no device became free within an hour, or the program passed its limit.
        EngineOutOfMemory, EngineFailed: as it ended; or the error that it reported itself.
    """
    env = engines.environment()
    with lease_device(
        engines.devices(),
        Path(engines.home) / "leases",
        holder=f"{program.name} {os.getpid()}",
        timeout_seconds=_LEASE_SECONDS,
        report=report,
    ) as lease:
        running = ResidentProgram(
            program,
            work_dir,
            params,
            env=env,
            limits=limits_of(max_minutes, max_memory_gb),
            lease=lease,
            search_path=search_path,
        )
        try:
            return asyncio.run(running.ready())
        finally:
            running.stop()
