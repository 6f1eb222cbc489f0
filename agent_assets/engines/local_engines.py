"""Engine programs and inference servers on this machine: which environment, which device, under
which limits.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from agent_assets.engines.context import EngineContext
from agent_assets.engines.contracts import Program, ProgramMessage
from agent_assets.engines.devices.gpu import CPU, Device, GpuLease, detect_gpus
from agent_assets.engines.devices.hand_over import lease_alone
from agent_assets.engines.devices.run_lease import RunLease
from agent_assets.engines.environment import (
    ENGINE_CODE,
    EngineEnv,
    find_engine_env,
    installed_version,
)
from agent_assets.engines.launch.process import BACKGROUND_NICENESS, EngineLimits
from agent_assets.engines.launch.step_program import EngineResult, run_program
from agent_assets.engines.progress_reporter import ProgressReporter
from agent_assets.engines.servers.base import InferenceServer
from agent_assets.engines.servers.choice import SERVER
from agent_assets.engines.servers.loaded import ensure_loaded
from agent_assets.engines.servers.serve import Endpoint, serve_model
from agent_assets.engines.source_weights import source_weights_hash
from agent_assets.errors import EngineMissing
from agent_assets.priority import RUN_PRIORITY
from agent_assets.runs.device_queue import (
    WAITING_STAGE,
    note_held,
    note_holding,
    note_preparing,
    note_waiting,
)

if TYPE_CHECKING:
    import dagster as dg

P = TypeVar("P")
A = TypeVar("A", bound=ProgramMessage)
_CPU_SERVERS = 3
_LEASE_SECONDS = 24 * 3600.0
_SECOND_LEASE_SECONDS = 60.0


@dataclass
class LocalEngines:
    """Runs engine programs on the GPU when there is one, else on the CPU, one at a time per device.

    Args:
        environments: folder of the engine environments.
        device: what GPU stages use; `auto` is a GPU where there is one.
        home: AGENT_ASSETS_HOME, for leases and logs.
        run_lease: the device of the run in this process, kept from stage to stage.
        server: what serves models.
    """

    environments: str
    device: Literal["auto", "cpu", "gpu"]
    home: str
    run_lease: RunLease = field(default_factory=RunLease, repr=False)
    server: InferenceServer = field(default=SERVER, repr=False)

    @property
    def logs(self) -> Path:
        """Folder for logs that belong to no artifact; those of one agent lie below it
        (`erasable_data.agent_logs`).
        """
        folder = Path(self.home) / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def devices(self) -> list[Device]:
        """The devices GPU stages may use: every GPU, or the CPU.

        Raises:
            EngineMissing: AGENT_ASSETS_DEVICE asks for a GPU and there is none.
        """
        gpus = [] if self.device == "cpu" else detect_gpus()
        if not gpus and self.device == "gpu":
            raise EngineMissing(
                "AGENT_ASSETS_DEVICE is gpu, and no GPU was found.",
                next_step="check `nvidia-smi`, or set AGENT_ASSETS_DEVICE to auto or cpu.",
            )
        return gpus or [CPU]

    def environment(self) -> EngineEnv:
        """The engine environment for the devices of this machine.

        Raises:
            EngineMissing: it is not installed.
        """
        return find_engine_env("cpu" if self.devices() == [CPU] else "gpu", Path(self.environments))

    def expect_device(
        self, context: "dg.AssetExecutionContext", stage: str, on_device: Collection[str]
    ) -> None:
        """Before a stage: the device is kept from one stage of the run that needs it to the next.

        Args:
            context: of the step.
            stage: its name.
            on_device: names of the stages of the run that need the device.
        """
        if self.run_lease.begin(stage, on_device):
            note_preparing(context.instance, context.run.run_id)
            RUN_PRIORITY.give_way()

    def lease(self, context: "dg.AssetExecutionContext") -> AbstractContextManager[GpuLease]:
        """Hold one device alone during the block; waits for it, and says in the run log and its
        tags for whom.
        """
        return self.run_lease.use(lambda: self._take(context))

    @contextmanager
    def _take(self, context: "dg.AssetExecutionContext") -> Iterator[GpuLease]:
        instance, run_id = context.instance, context.run.run_id

        show = ProgressReporter(context, folder=None)

        def wait(line: str) -> None:
            context.log.info(line)
            show.update({"stage": WAITING_STAGE})
            note_waiting(instance, run_id)

        with lease_alone(
            self.devices(),
            Path(self.home) / "leases",
            holder=run_id,
            timeout_seconds=_LEASE_SECONDS,
            report=wait,
        ) as lease:
            RUN_PRIORITY.take_turn(BACKGROUND_NICENESS)
            note_holding(instance, run_id, lease.device.name)
            since = time.monotonic()
            yield lease
        note_held(instance, run_id, lease.device.name, time.monotonic() - since)

    def run(
        self,
        context: "dg.AssetExecutionContext",
        program: Program[P, A],
        params: P,
        *,
        work_dir: Path,
        failed_logs: Path,
        max_minutes: float,
        max_memory_gb: float,
        search_path: Path = ENGINE_CODE,
    ) -> EngineResult[A]:
        """Run an engine program to its end on a leased device. See `step_program.run_program`."""
        env = self.environment()
        with self.lease(context) as lease:
            return run_program(
                context,
                program,
                params,
                env=env,
                work_dir=work_dir,
                limits=limits_of(max_minutes, max_memory_gb),
                lease=lease,
                search_path=search_path,
                failed_logs=failed_logs,
            )

    def servers_at_once(self) -> int:
        """How many inference servers may share a device. On a CPU they start and answer side by
        side, each with fewer cores, which is faster than one that has them all; on a GPU one takes
        nearly all of the memory.
        """
        return _CPU_SERVERS if self.devices() == [CPU] else 1

    @contextmanager
    def serve(
        self,
        context: "dg.AssetExecutionContext",
        model_dir: Path,
        servers: Mapping[str, Mapping[str, Path]],
        *,
        log_dir: Path,
        failed_logs: Path,
        max_model_len: int,
        max_lora_rank: int,
        concurrency: int,
        max_minutes: float,
        max_memory_gb: float,
        gpu_memory_utilization: float,
        tool_call_parser: str | None = None,
        templates_of_requests: bool = False,
    ) -> Iterator[dict[str, Endpoint]]:
        """Serve a base model and adapters of it on one leased device during the block, as the HTTP
        API does: adapters are loaded while a server runs, and answer under their names.

        Args:
            context: of the step that asks them.
            model_dir: folder of the base model; it answers as `Endpoint.model` on every server.
            servers: by name of a server, at most `servers_at_once`, its adapters: folders by name.
            log_dir: folder of the logs, one folder in it for each server.
            failed_logs: folder that keeps the log of a server that failed.
            max_model_len: context length in tokens.
            max_lora_rank: highest rank of an adapter.
            concurrency: sequences worked on at once for each model that a server holds.
            max_minutes, max_memory_gb: limits of each server. See `serve_model` for the errors.
            gpu_memory_utilization: share of a GPU's memory, for each server.
            tool_call_parser, templates_of_requests: see `ServedModel`.

        Raises:
            EngineFailed: a server refused an adapter.
        """
        env = self.environment()
        with self.lease(context) as lease, ExitStack() as running:
            endpoints = {
                name: running.enter_context(
                    serve_model(
                        self.server,
                        env=env,
                        model_dir=model_dir,
                        log_dir=log_dir / name,
                        limits=limits_of(max_minutes, max_memory_gb),
                        max_model_len=max_model_len,
                        max_loras=len(adapters),
                        max_lora_rank=max_lora_rank,
                        max_concurrency=concurrency * (1 + len(adapters)),
                        lease=lease,
                        failed_logs=failed_logs,
                        wait=False,
                        share=len(servers),
                        gpu_memory_utilization=gpu_memory_utilization,
                        niceness=BACKGROUND_NICENESS,
                        tool_call_parser=tool_call_parser,
                        templates_of_requests=templates_of_requests,
                    )
                )
                for name, adapters in servers.items()
            }
            for name, endpoint in endpoints.items():
                endpoint.wait_until_ready()
                for adapter, folder in servers[name].items():
                    ensure_loaded(self.server, endpoint.base_url, adapter, folder)
                context.log.info(
                    "inference server of %s ready after %.1f s", name, endpoint.startup_seconds
                )
            yield endpoints

    def progress(
        self, context: "dg.AssetExecutionContext", *, stage: str
    ) -> Callable[[int, int], None]:
        """A function (done, total) that shows the progress of work done in this process, from its
        first call on.
        """
        return ProgressReporter(context, folder=None).steps_of(stage)

    def messages(
        self, context: "dg.AssetExecutionContext"
    ) -> Callable[[Mapping[str, object]], None]:
        """A function that shows a progress message (see `ProgressReporter.update`) of work done in
        this process.
        """
        return ProgressReporter(context, folder=None).update

    def engine_context(
        self,
        lease: GpuLease,
        max_minutes: float,
        max_memory_gb: float,
        work_dir: Path,
        failed_logs: Path,
        tool_call_parser: str | None = None,
    ) -> EngineContext:
        """What engines need that a stage runs side by side under one lease."""
        limits = limits_of(max_minutes, max_memory_gb)
        others = [device for device in self.devices() if device != lease.device]

        def another() -> AbstractContextManager[GpuLease]:
            folder = Path(self.home) / "leases"
            # Two runs that each hold one device must not wait for the other's for long.
            return lease_alone(
                others, folder, holder=lease.holder, timeout_seconds=_SECOND_LEASE_SECONDS
            )

        return EngineContext(
            self.environment(),
            lease,
            limits,
            work_dir / "logs",
            failed_logs,
            server=self.server,
            another=another if others else None,
            tool_call_parser=tool_call_parser,
        )

    def device_name(self) -> str:
        """Name of the device GPU stages use: the GPU's, or `cpu`."""
        return self.devices()[0].name

    def version(self, *packages: str) -> str:
        """Version of the first of these packages that the engine environment has, "unknown" when it
        has none.
        """
        env = self.environment()
        return next(
            (version for package in packages if (version := installed_version(env, package))),
            "unknown",
        )

    def source_weights_hash(self, source: str) -> str:
        """See `source_weights.source_weights_hash`."""
        return source_weights_hash(source, self.environment)


def limits_of(minutes: float, memory_gb: float) -> EngineLimits:
    """Limits as settings write them."""
    return EngineLimits(seconds=60 * minutes, memory_bytes=int(memory_gb * 2**30))
