"""One inference server for one model, on loopback, for as long as a block runs."""

import http.client
import json
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
from types import MappingProxyType

from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits, EngineProcess
from agent_assets.engines.servers.base import InferenceServer, ServedModel
from agent_assets.errors import AgentAssetsError, EngineFailed, EngineTimeout

LOG_FILE = "server.log"
_HOST = "127.0.0.1"
_READY_SECONDS = 600.0
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.25


@dataclass
class Endpoint:
    """A server. `model` is the name to ask for; adapters answer under their own names."""

    model: str
    port: int
    log_path: Path
    engine: EngineProcess
    follower: "_Follower"
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
        name, log = self.engine.name, self.engine.shown_log
        while self.engine.seconds < _READY_SECONDS:
            if not self.follower.is_alive():
                raise self.follower.error or EngineFailed(
                    f"{name} ended while it started.", next_step=f"read {log}"
                )
            if self.model in _models(self.port):
                self.startup_seconds = round(self.engine.seconds, 1)
                return
            time.sleep(_POLL_SECONDS)
        raise EngineTimeout(
            f"{name} was not ready after {_READY_SECONDS:.0f} s.", next_step=f"read the log {log}"
        )

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak so far, of all processes of the server together."""
        return self.engine.peak_memory_bytes


@contextmanager
def serve_model(
    server: InferenceServer,
    *,
    env: EngineEnv,
    model_dir: Path,
    log_dir: Path,
    limits: EngineLimits,
    max_model_len: int,
    adapters: Mapping[str, Path] = MappingProxyType({}),
    max_loras: int = 0,
    max_lora_rank: int = 8,
    compiled: bool = False,
    lease: GpuLease | None = None,
    port: int | None = None,
    max_concurrency: int = 16,
    failed_logs: Path | None = None,
    wait: bool = True,
    share: int = 1,
    gpu_memory_utilization: float = 0.85,
    niceness: int = 0,
    tool_call_parser: str | None = None,
    templates_of_requests: bool = False,
) -> Iterator[Endpoint]:
    """Serve the model in `model_dir` during the block. Its chat template is the folder's
    `chat_template.jinja`.

    Args:
        server: what serves it.
        env: engine environment with it; "gpu" uses the leased GPU, every other name the CPU.
        log_dir: made if missing; holds server.log.
        limits: of the block as a whole; when one is passed the server is ended and requests fail.
        adapters, max_loras, max_lora_rank, max_model_len, max_concurrency, gpu_memory_utilization,
            share, tool_call_parser, templates_of_requests: see `ServedModel`.
        compiled: serving does on a GPU; evaluation and RL do not: their servers live for minutes.
        lease: device to serve on, held by the server too.
        port: loopback port; None takes a free one.
        failed_logs: folder that keeps the log of a failed server when `log_dir` is thrown away.
        wait: enter the block when the server answers. False enters it at once, for several servers
            that start side by side; `Endpoint.wait_until_ready` then waits.
        niceness: how far it lets others go first; 0 where people wait for its answers.

    Raises:
        EngineFailed: it did not start, or ended on its own.
        EngineTimeout, EngineOutOfMemory: a limit was passed.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    log_path = log_dir / LOG_FILE
    model = ServedModel(
        folder=model_dir,
        # of this server alone: a stranger on the port is told apart
        name=f"model-{uuid.uuid4().hex[:8]}",
        max_model_len=max_model_len,
        max_concurrency=max_concurrency,
        adapters=adapters,
        max_loras=max_loras,
        max_lora_rank=max_lora_rank,
        compiled=compiled,
        gpu_memory_utilization=gpu_memory_utilization,
        share=share,
        tool_call_parser=tool_call_parser,
        templates_of_requests=templates_of_requests,
    )
    with _reserved_port(port) as reserved:
        command = server.command(env, model, host=_HOST, port=reserved)
        engine = EngineProcess.start(
            env,
            command.module,
            command.arguments,
            name=server.name,
            log_path=log_path,
            shown_log=None if failed_logs is None else failed_logs / f"{model.name}-{LOG_FILE}",
            limits=limits,
            lease=lease,
            environment=command.environment,
            grace_seconds=_GRACE_SECONDS,
            niceness=niceness,
        )
        follower = _Follower(engine)
        try:
            endpoint = Endpoint(model.name, reserved, log_path, engine, follower)
            if wait:
                endpoint.wait_until_ready()
            yield endpoint
        finally:
            follower.finish()


class _Follower(threading.Thread):
    """Follows a server while the block runs; `error` says why it ended, if nobody asked it to."""

    def __init__(self, engine: EngineProcess) -> None:
        super().__init__(name="engine-follower", daemon=True)
        self._engine = engine
        self._over = threading.Event()
        self.error: AgentAssetsError | None = None
        self.start()

    def run(self) -> None:
        """Until the server ends."""
        try:
            self._engine.follow()
        except AgentAssetsError as error:  # a limit was passed; it was ended
            self.error = error
        else:
            if not self._over.is_set():
                self.error = self._engine.failure()

    def finish(self) -> None:
        """Stop the server; raise what went wrong with it, unless the block is being interrupted."""
        raised = sys.exc_info()[1]
        cancelled = raised is not None and not isinstance(
            raised, Exception
        )  # nobody wants its answers any more
        died = self._engine.ended
        self._over.set()
        self._engine.stop(at_once=cancelled)
        self.join()
        # A moment ago: the follower already knew that nobody needs it
        if died and self.error is None:
            self.error = self._engine.failure()
        kept_log = self._engine.shown_log
        if (self.error is not None or raised is not None) and kept_log != self._engine.log_path:
            kept_log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._engine.log_path, kept_log)
        if (
            self.error is not None
            and self.error is not raised
            and (raised is None or isinstance(raised, Exception))
        ):
            raise self.error


@contextmanager
def _reserved_port(port: int | None) -> Iterator[int]:
    """A loopback port that nobody else is given while the server starts.

    The socket is bound but never listens: with SO_REUSEADDR on both sides the server may still bind
    and listen there, and the kernel hands the port to no one who asks for a free one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((_HOST, port or 0))
        except OSError as error:
            raise EngineFailed(
                f"Port {port} of {_HOST} is taken.",
                next_step="stop what uses it, or choose another port.",
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
