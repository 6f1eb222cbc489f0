"""One engine process as the core sees it: started under `child`, measured, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv, engine_environment
from agent_assets.engines.launch.waiting import ended_within
from agent_assets.errors import EngineError, EngineOutOfMemory, EngineTimeout
from agent_assets.settings import REPOSITORY

_STOP_SECONDS = 10.0
# Engines that train and evaluate let those go first that somebody waits for: the model server of the API, the UI.
BACKGROUND_NICENESS = 5


@dataclass(frozen=True)
class EngineLimits:
    """How long an engine may run, and how much memory it and its children may hold together (resident)."""

    seconds: float
    memory_bytes: int


@dataclass
class EngineProcess:
    """A running engine and all it started. `started` is on the monotonic clock."""

    name: str
    process: "subprocess.Popen[bytes]"
    log_path: Path
    grace_seconds: float
    started: float = field(default_factory=time.monotonic)
    peak_memory_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def over_limit(self, limits: EngineLimits) -> EngineError | None:
        """Measure; the error to raise when a limit is passed."""
        used = self._memory()
        self.peak_memory_bytes = max(self.peak_memory_bytes, used)
        if used > limits.memory_bytes:
            return EngineOutOfMemory(
                f"{self.name} was ended: it used {used / 2**30:.2f} GiB of memory, the limit is "
                f"{limits.memory_bytes / 2**30:.2f} GiB.",
                next_step="raise max_memory_gb of this stage, or lower its batch size or max_length.",
            )
        if self.seconds > limits.seconds:
            return EngineTimeout(
                f"{self.name} was ended: it ran past its limit of {limits.seconds / 60:.1f} minutes.",
                next_step="raise max_minutes of this stage, or give it less to do (rows, epochs, items).",
            )
        return None

    def stop(self, *, at_once: bool = False) -> None:
        """End the engine and everything it started, without its time of grace if `at_once`. Does nothing when it has
        ended.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT if at_once else signal.SIGTERM)
            ended_within(self.process, self.grace_seconds + _STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # only if the supervisor itself was killed or is stuck
        self.process.wait()

    def _memory(self) -> int:
        """Resident bytes of the supervisor and all its descendants."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total


def start_engine(
    env: EngineEnv, module: str, arguments: Sequence[str], *, name: str, log_path: Path, lease: GpuLease | None,
    environment: Mapping[str, str], grace_seconds: float, search_path: Path = REPOSITORY, niceness: int = 0,
) -> EngineProcess:  # fmt: skip
    """Start `python -m module arguments` in an engine environment, in a session of its own, output to `log_path`.

    It works in the folder of the log, sees only the leased device, and holds the lease as long as it lives. With a
    `niceness` it lets others go first.
    """
    command = [
        str(env.python), "-m", "agent_assets.engines.launch.supervisor", "--parent", str(os.getpid()),
        "--grace", str(grace_seconds), "--nice", str(niceness), "--module", module, *arguments,
    ]  # fmt: skip
    device = {} if lease is None else lease.device.environment
    variables = engine_environment({**device, **environment}, search_path=search_path)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command, cwd=log_path.parent, env=variables, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            pass_fds=() if lease is None else (lease.fd,),
        )  # fmt: skip
    engine = EngineProcess(name, process, log_path, grace_seconds)
    if lease is not None:
        lease.note_engine(process.pid)
    return engine
