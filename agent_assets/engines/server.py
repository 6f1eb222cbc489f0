"""vLLM's OpenAI server for one model, on loopback, for as long as a block runs."""

import http.client
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.failures import failure
from agent_assets.engines.gpu import GpuLease
from agent_assets.engines.process import EngineLimits, EngineProcess, start_engine
from agent_assets.errors import AgentAssetsError, EngineFailed, EngineTimeout

LOG_FILE = "server.log"
_MODULE = "vllm.entrypoints.openai.api_server"
_HOST = "127.0.0.1"
_READY_SECONDS = 600.0
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.25
_MAX_LORA_RANK = 64
_CPU_CACHE_GIB = 1


@dataclass(frozen=True)
class Endpoint:
    """A server that answers. `model` is the name to ask for; adapters answer under their own names."""

    base_url: str
    model: str
    startup_seconds: float
    log_path: Path
    engine: EngineProcess

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak so far, of all processes of the server together."""
        return self.engine.peak_memory_bytes


@contextmanager
def serve_model(
    *, env: EngineEnv, model_dir: Path, log_dir: Path, limits: EngineLimits, max_model_len: int,
    adapters: Mapping[str, Path] = {}, compiled: bool = False, lease: GpuLease | None = None, port: int | None = None,
    max_concurrency: int = 16, failed_logs: Path | None = None,
) -> Iterator[Endpoint]:  # fmt: skip
    """Serve the model in `model_dir` during the block. Its chat template is the folder's `chat_template.jinja`.

    Args:
        env: engine environment with vLLM; "gpu" uses the leased GPU, every other name the CPU.
        log_dir: made if missing; holds server.log.
        limits: of the block as a whole; when one is passed the server is ended and requests fail.
        max_model_len: context length in tokens.
        adapters: LoRA adapters by the name they answer under.
        compiled: compile the model first: a slower start for faster answers.
        lease: device to serve on, held by the server too.
        port: loopback port; None takes a free one.
        max_concurrency: sequences worked on at once.
        failed_logs: folder that keeps the log of a failed server when `log_dir` is thrown away.

    Raises:
        EngineFailed: it did not start, or ended by itself.
        EngineTimeout, EngineOutOfMemory: a limit was passed.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    log_path = log_dir / LOG_FILE
    name = f"model-{uuid.uuid4().hex[:8]}"  # of this server alone: a stranger on the port is told apart
    with _reserved_port(port) as reserved:
        arguments = [
            "--host", _HOST, "--port", str(reserved), "--model", str(model_dir), "--served-model-name", name,
            "--max-model-len", str(max_model_len), "--max-num-seqs", str(max_concurrency),
            *_tool_arguments(model_dir), *_adapter_arguments(adapters), *([] if compiled else ["--enforce-eager"]),
            *_device_arguments(env),
        ]  # fmt: skip
        engine = start_engine(
            env, _MODULE, arguments, name="vllm", log_path=log_path, lease=lease, environment=_variables(env),
            grace_seconds=_GRACE_SECONDS,
        )  # fmt: skip
        guard = _Guard(engine, limits)
        try:
            _wait_until_ready(guard, reserved, name)
            yield Endpoint(f"http://{_HOST}:{reserved}/v1", name, round(engine.seconds, 1), log_path, engine)
        finally:
            guard.finish()


class _Guard(threading.Thread):
    """Watches limits and life of a server while the block runs; ends it when a limit is passed."""

    def __init__(self, engine: EngineProcess, limits: EngineLimits) -> None:
        super().__init__(name="engine-guard", daemon=True)
        self._engine = engine
        self._limits = limits
        self._over = threading.Event()
        self.error: AgentAssetsError | None = None
        self.start()

    def run(self) -> None:
        """Measure twice a second until the block or the server ends."""
        while not self._over.wait(2 * _POLL_SECONDS):
            if self._engine.process.poll() is not None:
                self.error = self.ended()
                return
            if error := self._engine.over_limit(self._limits):
                self.error = error
                self._engine.stop()
                return

    def ended(self) -> AgentAssetsError:
        """The error of a server that ended by itself."""
        code, log = self._engine.process.returncode, self._engine.log_path
        if code == 0:
            return EngineFailed("vllm ended by itself.", next_step=f"read the log {log}")
        return failure("vllm", code, log, None, shown_log=log)

    def finish(self) -> None:
        """Stop the server; raise what went wrong with it, unless the block is being interrupted."""
        raised = sys.exc_info()[1]
        self._over.set()
        self._engine.stop()
        self.join()
        if self.error is not None and self.error is not raised and (raised is None or isinstance(raised, Exception)):
            raise self.error
