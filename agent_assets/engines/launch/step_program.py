"""Runs the engine program of one Dagster step to its end: Pipes in, live progress out, under
limits, dying with the run. `LocalEngines` calls it; every engine starts in `process.py`.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import dagster as dg

from agent_assets.engines.codec import encode
from agent_assets.engines.contracts import Facts, Program, ProgramMessage
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import ENGINE_CODE, EngineEnv
from agent_assets.engines.launch.dagster_messages import DagsterMessages
from agent_assets.engines.launch.messages import Messages
from agent_assets.engines.launch.process import BACKGROUND_NICENESS, EngineLimits, EngineProcess
from agent_assets.engines.progress_reporter import ProgressReporter
from agent_assets.errors import EngineFailed, StoreFull

P = TypeVar("P")
A = TypeVar("A", bound=ProgramMessage)
LOG_FILE = "engine.log"


@dataclass(frozen=True)
class EngineResult(Generic[A]):
    """What a program returned. `peak_memory_bytes` is the resident peak of all its processes
    together.
    """

    result: A
    seconds: float
    peak_memory_bytes: int
    log_path: Path


def run_program(
    context: dg.AssetExecutionContext,
    program: Program[P, A],
    params: P,
    *,
    env: EngineEnv,
    work_dir: Path,
    limits: EngineLimits,
    lease: GpuLease | None,
    search_path: Path = ENGINE_CODE,
    failed_logs: Path | None = None,
    progress_seconds: float = 10.0,
) -> EngineResult[A]:
    """Run a program in an engine environment and wait for its result.

    Args:
        context: of the step; its run log and asset show the progress.
        work_dir: made if missing; holds engine.log and progress.json.
        limits: of time and memory.
        lease: device the program may use and holds; None reserves none.
        search_path: where the program's package is found, besides this one.
        failed_logs: folder that keeps the log of a failed program when `work_dir` is thrown away.
        progress_seconds: shortest time between two lines of progress.

    Raises:
        EngineTimeout, EngineOutOfMemory: a limit was passed; the program was ended.
        StoreFull: no space was left.
        EngineFailed: it ended without a result; or the error that the program itself
            reported.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    log_path = work_dir / LOG_FILE
    kept_log = (
        log_path
        if failed_logs is None
        else failed_logs / f"{context.run.run_id}-{program.name}.log"
    )
    messages = Messages(work_dir / ".pipes-messages", program.name)
    reader = DagsterMessages(messages)
    reporter = ProgressReporter(context, folder=work_dir, every_seconds=progress_seconds)

    def look() -> None:
        reader.poll()
        for message in messages.progress():
            reporter.update(message)

    with (
        _no_space(work_dir),
        _log_kept_on_failure(log_path, kept_log),
        dg.open_pipes_session(
            context,
            dg.PipesFileContextInjector(str(work_dir / ".pipes-context")),
            reader,
            extras={"params": encode(params)},
        ) as session,
    ):
        engine = EngineProcess.start(
            env,
            f"{program.package}.{program.name}",
            name=program.name,
            log_path=log_path,
            shown_log=kept_log,
            limits=limits,
            lease=lease,
            environment=session.get_bootstrap_env_vars(),
            search_path=search_path,
            niceness=BACKGROUND_NICENESS,
        )
        try:
            code = engine.follow(look)
        finally:
            engine.stop()
        seconds = engine.seconds
        if code != 0:
            raise engine.failure(messages.reported_error())
        result = messages.take(program.answer)
        if result is None:
            raise EngineFailed(
                f"{program.name} ended without a result.", next_step=f"read the log {kept_log}"
            )
        reporter.flush()
    own_peak = result.peak_memory_bytes if isinstance(result, Facts) else 0
    return EngineResult(result, seconds, max(engine.peak_memory_bytes, own_peak), log_path)


@contextmanager
def _log_kept_on_failure(log_path: Path, kept_log: Path) -> Iterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        if not done and kept_log != log_path and log_path.exists():
            kept_log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log_path, kept_log)


@contextmanager
def _no_space(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreFull(
            f"No space left at {folder} while an engine program ran.",
            next_step="free space or point AGENT_ASSETS_STORE elsewhere, then materialize again.",
        ) from error
