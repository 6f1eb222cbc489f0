"""What the launcher tests share: an asset that runs a test program, and waiting for things to
happen.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from agent_assets.engines.contracts import Program, ProgramMessage
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.launch.step_program import EngineResult, run_program

# The test programs need no engine library: the core's own Python runs them.
CORE = EngineEnv(name="core", python=Path(sys.executable))
ROOMY = EngineLimits(seconds=120, memory_bytes=2**33)
SUPPORT = Path(__file__).resolve().parent  # the test programs are the package `programs` in it

P = TypeVar("P")
A = TypeVar("A", bound=ProgramMessage)


@dataclass(frozen=True)
class CountsParams:
    steps: int
    pause: float
    padding: int = 0


@dataclass(frozen=True)
class CountsResult(ProgramMessage):
    padding: str
    sum: int


@dataclass(frozen=True)
class FailsParams:
    how: str


@dataclass(frozen=True)
class HangsParams:
    pid_file: Path
    bytes: int = 0


@dataclass(frozen=True)
class NoResult(ProgramMessage):
    pass


COUNTS = Program("counts", CountsParams, CountsResult, package="programs")
FAILS = Program("fails", FailsParams, NoResult, package="programs")
HANGS = Program("hangs", HangsParams, NoResult, package="programs")


def engine_asset(
    program: Program[P, A],
    params: P,
    work_dir: Path,
    *,
    limits: EngineLimits = ROOMY,
    env: EngineEnv = CORE,
    results: list[EngineResult[A]] | None = None,
    lease: GpuLease | None = None,
    failed_logs: Path | None = None,
) -> dg.AssetsDefinition:
    @dg.asset(key=["pipeline", "trained"])
    def trained(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        result = run_program(
            context,
            program,
            params,
            env=env,
            work_dir=work_dir,
            limits=limits,
            lease=lease,
            search_path=SUPPORT,
            failed_logs=failed_logs,
            progress_seconds=0.2,
        )
        if results is not None:
            results.append(result)
        return dg.MaterializeResult()

    return trained


def read_pids(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text(encoding="utf-8").split()] if path.exists() else []


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def run_as_worker(work_dir: Path, lease_dir: Path) -> None:
    """Body of a stand-in for a run worker: hold the CPU and run a program that never ends."""
    from agent_assets.engines.devices.gpu import CPU, lease_device

    with lease_device([CPU], lease_dir, holder="first-run", timeout_seconds=5) as lease:
        asset = engine_asset(HANGS, HangsParams(work_dir / "pids"), work_dir, lease=lease)
        dg.materialize([asset], instance=dg.DagsterInstance.ephemeral())


if __name__ == "__main__":
    assert os.environ["PYTHONPATH"]
    run_as_worker(Path(sys.argv[1]), Path(sys.argv[2]))
