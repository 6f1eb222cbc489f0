"""Runs an engine program to its end: Dagster Pipes in, live progress out, under limits, dying with the run."""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.failures import failure
from agent_assets.engines.launch.messages import PolledMessages
from agent_assets.engines.launch.process import BACKGROUND_NICENESS, EngineLimits, EngineProcess, start_engine
from agent_assets.engines.launch.waiting import ended_within
from agent_assets.engines.progress import ProgressReporter
from agent_assets.errors import EngineFailed, StoreFull
from agent_assets.settings import REPOSITORY

LOG_FILE = "engine.log"
_LOOK_SECONDS = 1.0  # between two looks at messages and memory; the end of the program is noticed at once


@dataclass(frozen=True)
class EngineResult:
    """What a program returned. `peak_memory_bytes` is the resident peak of all its processes together."""

    result: dict[str, Any]
    seconds: float
    peak_memory_bytes: int
    log_path: Path


def run_program(
    context: dg.AssetExecutionContext, *, program: str, env: EngineEnv, params: Mapping[str, Any], work_dir: Path,
    limits: EngineLimits, lease: GpuLease | None, package: str = "agent_assets.engines.programs",
    search_path: Path = REPOSITORY, failed_logs: Path | None = None, progress_seconds: float = 10.0,
) -> EngineResult:  # fmt: skip
    """Run `<package>.<program>` in an engine environment and wait for its result.

    Args:
        context: of the step; its run log and asset show the progress.
        params: what the program reads as `pipes.get_extra("params")`, JSON.
        work_dir: made if missing; holds engine.log and progress.json.
        limits: of time and memory.
        lease: device the program may use and holds; None reserves none.
        package: package of the program, found in `search_path` or in this repository.
        failed_logs: folder that keeps the log of a failed program when `work_dir` is thrown away.
        progress_seconds: shortest time between two lines of progress.

    Raises:
        EngineTimeout, EngineOutOfMemory: a limit was passed; the program was ended.
        StoreFull: no space was left.
        EngineFailed: it ended otherwise than with a result; or the error that the program itself reported.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    log_path = work_dir / LOG_FILE
    kept = log_path if failed_logs is None else failed_logs / f"{context.run.run_id}-{program}.log"
    reader = PolledMessages(work_dir / ".pipes-messages")
    reporter = ProgressReporter(context, folder=work_dir, every_seconds=progress_seconds)
    with (
        _no_space(work_dir),
        _log_kept_on_failure(log_path, kept),
        dg.open_pipes_session(
            context,
            dg.PipesFileContextInjector(str(work_dir / ".pipes-context")),
            reader,
            extras={"params": dict(params)},
        ) as session,
    ):
        engine = start_engine(
            env, f"{package}.{program}", [], name=program, log_path=log_path, lease=lease,
            environment=session.get_bootstrap_env_vars(), grace_seconds=0, search_path=search_path,
            niceness=BACKGROUND_NICENESS,
        )  # fmt: skip
        try:
            code = _follow(engine, session, reader, reporter, limits)
        finally:
            engine.stop()
        seconds = engine.seconds
        reader.poll()
        messages = [message for message in session.get_custom_messages() if isinstance(message, dict)]
        if code != 0:
            raise failure(program, code, log_path, _last(messages, "error"), shown_log=kept)
        result = _last(messages, "result")
        if result is None:
            raise EngineFailed(f"{program} ended without a result.", next_step=f"read the log {kept}")
        reporter.flush()
    peak = max(engine.peak_memory_bytes, int(result.get("peak_memory_bytes") or 0))
    return EngineResult(result=result, seconds=seconds, peak_memory_bytes=peak, log_path=log_path)


def _follow(
    engine: EngineProcess, session: dg.PipesSession, reader: PolledMessages, reporter: ProgressReporter,
    limits: EngineLimits,
) -> int:  # fmt: skip
    """Show progress and watch the limits until the program ends; its exit code."""
    seen = 0
    ended = False
    while True:
        reader.poll()
        messages = session.get_custom_messages()
        for message in messages[seen:]:
            if isinstance(message, dict) and message.get("kind") == "progress":
                reporter.update(message)
        seen = len(messages)
        if ended:
            return engine.process.returncode
        if error := engine.over_limit(limits):
            raise error
        ended = ended_within(engine.process, _LOOK_SECONDS)


def _last(messages: Sequence[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    found = [message for message in messages if message.get("kind") == kind]
    return {name: value for name, value in found[-1].items() if name != "kind"} if found else None


@contextmanager
def _log_kept_on_failure(log_path: Path, kept: Path) -> Iterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        if not done and kept != log_path and log_path.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log_path, kept)


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
