"""vLLM's OpenAI server for one model, on loopback, for as long as a block runs."""

import http.client
import json
import os
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.failures import failure
from agent_assets.engines.launch.process import EngineLimits, EngineProcess, start_engine
from agent_assets.errors import AgentAssetsError, EngineFailed, EngineTimeout

LOG_FILE = "server.log"
_MODULES = {"gpu": "vllm.entrypoints.openai.api_server"}
_CPU_MODULE = "agent_assets.engines.programs.vllm_cpu"
_HOST = "127.0.0.1"
_READY_SECONDS = 600.0
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.25
_MEASURE_SECONDS = 1.0
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM accepts as --max-lora-rank
_CPU_CACHE_GIB = 1


@dataclass
class Endpoint:
    """A server. `model` is the name to ask for; adapters answer under their own names."""

    model: str
    port: int
    log_path: Path
    engine: EngineProcess
    guard: "_Guard"
    startup_seconds: float | None = None  # until it answered

    @property
    def base_url(self) -> str:
        """Where it answers, as OpenAI clients want it."""
        return f"http://{_HOST}:{self.port}/v1"

    def wait_until_ready(self) -> None:
        """Until the server lists its model.

        Raises:
            AgentAssetsError: it ended, passed a limit, or was not ready in time.
        """
        while self.engine.seconds < _READY_SECONDS:
            if not self.guard.is_alive():
                raise self.guard.error or EngineFailed(
                    "vllm ended while it started.", next_step=f"read {self.guard.failed_log}"
                )
            if self.model in _models(self.port):
                self.startup_seconds = round(self.engine.seconds, 1)
                return
            time.sleep(_POLL_SECONDS)
        raise EngineTimeout(
            f"vllm was not ready after {_READY_SECONDS:.0f} s.", next_step=f"read the log {self.guard.failed_log}"
        )

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak so far, of all processes of the server together."""
        return self.engine.peak_memory_bytes


@contextmanager
def serve_model(
    *, env: EngineEnv, model_dir: Path, log_dir: Path, limits: EngineLimits, max_model_len: int,
    adapters: Mapping[str, Path] = {}, hot_adapters: int = 0, hot_rank: int = 8, compiled: bool = False,
    lease: GpuLease | None = None, port: int | None = None, max_concurrency: int = 16, failed_logs: Path | None = None,
    wait: bool = True, share: int = 1, memory_share: float = 0.85, niceness: int = 0,
) -> Iterator[Endpoint]:  # fmt: skip
    """Serve the model in `model_dir` during the block. Its chat template is the folder's `chat_template.jinja`.

    Args:
        env: engine environment with vLLM; "gpu" uses the leased GPU, every other name the CPU.
        log_dir: made if missing; holds server.log.
        limits: of the block as a whole; when one is passed the server is ended and requests fail.
        max_model_len: context length in tokens.
        adapters: LoRA adapters by the name they answer under.
        hot_adapters: places for adapters that are loaded while it runs (see `adapters.py`), besides those given.
        hot_rank: the highest rank of an adapter that is loaded while it runs.
        compiled: compile the model first: a slower start for faster answers. Serving does on a GPU; evaluation and RL
            do not: their servers live for minutes.
        lease: device to serve on, held by the server too.
        port: loopback port; None takes a free one.
        max_concurrency: sequences worked on at once.
        failed_logs: folder that keeps the log of a failed server when `log_dir` is thrown away.
        wait: enter the block when the server answers. False enters it at once, for several servers that start side by
            side; `Endpoint.wait_until_ready` then waits.
        share: how many servers share the cores of this machine.
        memory_share: of the whole memory of the GPU; vLLM does not start where less is free. A CPU has no use for it.
        niceness: how far it lets others go first; 0 where people wait for its answers.

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
            *_tool_arguments(model_dir), *_adapter_arguments(adapters, hot_adapters, hot_rank),
            *([] if compiled else ["--enforce-eager"]),
            *_device_arguments(env, memory_share),
        ]  # fmt: skip
        engine = start_engine(
            env, _MODULES.get(env.name, _CPU_MODULE), arguments, name="vllm", log_path=log_path, lease=lease,
            environment=_variables(env, share) | ({"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"} if hot_adapters else {}),
            grace_seconds=_GRACE_SECONDS, niceness=niceness,
        )  # fmt: skip
        guard = _Guard(engine, limits, log_path if failed_logs is None else failed_logs / f"{name}-{LOG_FILE}")
        try:
            endpoint = Endpoint(name, reserved, log_path, engine, guard)
            if wait:
                endpoint.wait_until_ready()
            yield endpoint
        finally:
            guard.finish()


class _Guard(threading.Thread):
    """Watches limits and life of a server while the block runs; ends it when a limit is passed."""

    def __init__(self, engine: EngineProcess, limits: EngineLimits, failed_log: Path) -> None:
        super().__init__(name="engine-guard", daemon=True)
        self.failed_log = failed_log
        self._engine = engine
        self._limits = limits
        self._over = threading.Event()
        self.error: AgentAssetsError | None = None
        self.start()

    def run(self) -> None:
        """Measure every second until the block or the server ends."""
        while self.error is None and not self._over.wait(_MEASURE_SECONDS):
            self._look()

    def _look(self) -> None:
        code = self._engine.process.poll()
        if self.error is not None:
            return
        if code is not None:
            self.error = failure("vllm", code, self._engine.log_path, None, shown_log=self.failed_log)
        elif error := self._engine.over_limit(self._limits):
            self.error = error
            self._engine.stop()

    def finish(self) -> None:
        """Stop the server; raise what went wrong with it, unless the block is being interrupted."""
        raised = sys.exc_info()[1]
        cancelled = raised is not None and not isinstance(raised, Exception)  # nobody wants its answers any more
        self._over.set()
        self.join()
        self._look()  # it may have ended since the last look
        self._engine.stop(at_once=cancelled)
        if (self.error is not None or raised is not None) and self.failed_log != self._engine.log_path:
            self.failed_log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._engine.log_path, self.failed_log)
        if self.error is not None and self.error is not raised and (raised is None or isinstance(raised, Exception)):
            raise self.error


@contextmanager
def _reserved_port(port: int | None) -> Iterator[int]:
    """A loopback port that nobody else is given while the server starts.

    The socket is bound but never listens: with SO_REUSEADDR on both sides the server may still bind and listen there,
    and the kernel hands the port to no one who asks for a free one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((_HOST, port or 0))
        except OSError as error:
            raise EngineFailed(
                f"Port {port} of {_HOST} is taken.", next_step="stop what uses it, or choose another port."
            ) from error
        yield int(holder.getsockname()[1])


def _models(port: int) -> list[str]:
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return []
    finally:
        connection.close()
    return [model["id"] for model in json.loads(body)["data"]] if answer.status == 200 else []


def _tool_arguments(model_dir: Path) -> list[str]:
    template = model_dir / "chat_template.jinja"
    chosen = ["--chat-template", str(template)] if template.is_file() else []
    return [*chosen, "--enable-auto-tool-choice", "--tool-call-parser", "hermes"]


def _adapter_arguments(adapters: Mapping[str, Path], hot: int, hot_rank: int) -> list[str]:
    if not adapters and not hot:
        return []
    modules = [f"{name}={path}" for name, path in sorted(adapters.items())]
    ranks = [json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["r"] for path in adapters.values()]
    ranks += [hot_rank] if hot else []
    rank = next((size for size in _LORA_RANKS if size >= max(ranks)), _LORA_RANKS[-1])
    return [
        "--enable-lora",
        "--max-loras",
        str(len(adapters) + hot),
        "--max-lora-rank",
        str(rank),
        *(["--lora-modules", *modules] if modules else []),
    ]


def _device_arguments(env: EngineEnv, memory_share: float) -> list[str]:
    if env.name == "gpu":
        return ["--gpu-memory-utilization", str(memory_share)]
    # On a CPU, vLLM 0.32 dies when it splits a prompt whose request has a seed: their generators have no offset.
    return ["--no-enable-chunked-prefill"]


def _variables(env: EngineEnv, share: int) -> dict[str, str]:
    # ms-swift registers a vLLM plugin that imports torchvision, which is not there.
    common = {"VLLM_PLUGINS": "none", "VLLM_NO_USAGE_STATS": "1"}
    if env.name == "gpu":
        return common
    threads = max(1, (len(os.sched_getaffinity(0)) - 1) // share)
    return common | {
        # Engine core and worker in one process: half the start-up time of two, and 0.7 GB less.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(_CPU_CACHE_GIB),
        # One core stays free for the HTTP server: with a thread on every core, each step waits for the slowest, and
        # beside other work one request at a time was measured 4 times slower. Threads are not pinned to cores.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
    }
