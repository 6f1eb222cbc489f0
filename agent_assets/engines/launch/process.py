"""One engine process as the core sees it: started under `supervisor`, followed, stopped. All
engines run this way.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import psutil

from agent_assets.engines.contracts import ReportedError
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import ENGINE_CODE, EngineEnv, engine_environment
from agent_assets.engines.launch.failures import failure
from agent_assets.engines.launch.waiting import ended_within
from agent_assets.errors import AgentAssetsError, EngineOutOfMemory, EngineTimeout
from agent_assets.process_tree import processes_below

T = TypeVar("T")
_STOP_SECONDS = 10.0
# between two looks at messages and memory; the end of the program is noticed at once
_MEASURE_SECONDS = 1.0
_ANSWER_SECONDS = 0.05  # between two looks for an answer that a step of training waits for
# Engines that train and evaluate let those go first that somebody waits for: the model server of
# the API, the UI. By one only: the threads of a training wait for the slowest of them, and the
# kernel divides the weight of their session by the cores, so that at 5 a run that prepares with 19
# still had a twelfth of a core (15 against 335 / 2), which was a twelfth of the training.
BACKGROUND_NICENESS = 1


@dataclass(frozen=True)
class EngineLimits:
    """How long an engine may run, and how much memory it and its children may hold together
    (resident).
    """

    seconds: float
    memory_bytes: int


@dataclass
class EngineProcess:
    """A running engine and all it started.

    Args:
        name: the program, as errors call it.
        process: its supervisor.
        log_path: its output.
        shown_log: where the user finds that log afterwards.
        limits: passing one ends it.
        grace_seconds: between SIGTERM and SIGKILL.
        started: on the monotonic clock.
        peak_memory_bytes: resident peak so far.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log_path: Path
    shown_log: Path
    limits: EngineLimits
    grace_seconds: float
    started: float = field(default_factory=time.monotonic)
    peak_memory_bytes: int = 0
    _measured: float = float("-inf")

    @classmethod
    def start(
        cls,
        env: EngineEnv,
        module: str,
        arguments: Sequence[str] = (),
        *,
        name: str,
        log_path: Path,
        limits: EngineLimits,
        lease: GpuLease | None,
        environment: Mapping[str, str],
        grace_seconds: float = 0.0,
        shown_log: Path | None = None,
        search_path: Path = ENGINE_CODE,
        niceness: int = 0,
    ) -> Self:
        """Start `python -m module arguments` in an engine environment, in a session of its own.

        It works in the folder of the log, sees only the leased device, and holds the lease as long
        as it lives. With a `niceness` it lets others go first. See the class for the other
        arguments.
        """
        command = [
            *(
                str(env.python),
                "-m",
                "agent_assets.engines.launch.supervisor",
                "--parent",
                str(os.getpid()),
            ),
            *(
                "--grace",
                str(grace_seconds),
                "--nice",
                str(niceness),
                "--module",
                module,
                *arguments,
            ),
        ]
        device = {} if lease is None else lease.environment
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=log_path.parent,
                env=engine_environment({**device, **environment}, search_path=search_path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=() if lease is None else (lease.fd,),
            )
        if lease is not None:
            lease.note_engine(process.pid)
        return cls(name, process, log_path, shown_log or log_path, limits, grace_seconds)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def _pause(self) -> float:
        """Seconds between two measurements: shorter at first, so that a short program is measured
        at all. They grow with the time of the last one: with the time now they would never be over.
        """
        return min(_MEASURE_SECONDS, max(0.1, self._measured - self.started))

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def follow(self, look: Callable[[], object] = lambda: None) -> int:
        """Wait until it ends; its exit code. Meanwhile `look` is called every second, and once more
        at the end.

        Raises:
            EngineTimeout, EngineOutOfMemory: a limit was passed; it was ended.
        """
        while not self.ended:
            look()
            self.enforce_limits()
            ended_within(self.process, self._pause)
        look()
        return self.process.returncode

    async def answer(
        self, look: Callable[[], T | None], *, reported: Callable[[], ReportedError | None]
    ) -> T:
        """Wait until `look` finds what the engine is asked for.

        Args:
            look: what it answered, None until it has.
            reported: the error it named itself, if it did.

        Raises:
            AgentAssetsError: it ended without an answer, or passed a limit.
        """
        while True:
            ended = self.ended  # first: what it said before its end is still an answer
            result = look()
            if result is not None:
                return result
            if ended:
                raise self.failure(reported())
            self.enforce_limits()
            await asyncio.sleep(_ANSWER_SECONDS)

    def failure(self, reported: ReportedError | None = None) -> AgentAssetsError:
        """The error for an engine that has ended: the one it reported, or what its log and exit
        code say.
        """
        return failure(
            self.name, self.process.returncode, self.log_path, reported, shown_log=self.shown_log
        )

    def enforce_limits(self) -> None:
        """Measure, at most once a second.

        Raises:
            EngineTimeout, EngineOutOfMemory: a limit was passed; the engine was ended.
        """
        now = time.monotonic()
        if now - self._measured < self._pause:
            return
        self._measured = now
        used = self._memory()
        self.peak_memory_bytes = max(self.peak_memory_bytes, used)
        if used > self.limits.memory_bytes:
            self.stop()
            raise EngineOutOfMemory(
                f"{self.name} was ended: it used {used / 2**30:.2f} GiB of memory, the limit is "
                f"{self.limits.memory_bytes / 2**30:.2f} GiB.",
                next_step="raise max_memory_gb of this stage, or lower its batch size or "
                "max_length.",
            )
        if self.seconds > self.limits.seconds:
            self.stop()
            raise EngineTimeout(
                f"{self.name} was ended: it ran past its limit of {self.limits.seconds / 60:.1f} "
                "minutes.",
                next_step="raise max_minutes of this stage, or give it less to do (rows, epochs, "
                "items).",
            )

    def stop(self, *, at_once: bool = False) -> None:
        """End the engine and everything it started, without its time of grace if `at_once`. Does
        nothing when it has ended.
        """
        if not self.ended:
            self.process.send_signal(signal.SIGQUIT if at_once else signal.SIGTERM)
            ended_within(self.process, self.grace_seconds + _STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(
                self.process.pid, signal.SIGKILL
            )  # only if the supervisor itself was killed or is stuck
        self.process.wait()

    def _memory(self) -> int:
        """Resident bytes of the supervisor and all its descendants."""
        total = 0
        pids = [self.process.pid, *(process.pid for process in processes_below(self.process.pid))]
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                total += psutil.Process(pid).memory_info().rss
        return total
