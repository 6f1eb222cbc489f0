"""A program that stays beside a step and is asked several times: loading a model costs more than
what is asked.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

from agent_assets.conversations.messages import canonical_json
from agent_assets.engines.codec import encode
from agent_assets.engines.contracts import Program, ProgramMessage
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import ENGINE_CODE, EngineEnv
from agent_assets.engines.launch.messages import Messages, pipes_environment
from agent_assets.engines.launch.process import BACKGROUND_NICENESS, EngineLimits, EngineProcess
from agent_assets.engines.rl_contracts import (
    RL_TRAINER,
    LearnReply,
    LearnRequest,
    TrainerParams,
    TrainerReady,
)

P = TypeVar("P")
A = TypeVar("A", bound=ProgramMessage)
R = TypeVar("R", bound=ProgramMessage)


class ResidentProgram(Generic[P, R]):
    """A running program. `folder` holds its parameters, its messages, and its log.

    Args:
        environment: further variables of its process.
        search_path: where further packages are found.
    """

    def __init__(
        self,
        program: Program[P, R],
        folder: Path,
        params: P,
        *,
        env: EngineEnv,
        limits: EngineLimits,
        lease: GpuLease | None,
        environment: Mapping[str, str] = MappingProxyType({}),
        search_path: Path = ENGINE_CODE,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._messages = Messages(folder / ".pipes-messages", program.name)
        pipes = pipes_environment(self._messages, encode(params), folder / ".pipes-context")
        self._engine = EngineProcess.start(
            env,
            f"{program.package}.{program.name}",
            name=program.name,
            log_path=folder / f"{program.name}.log",
            limits=limits,
            lease=lease,
            environment={**environment, **pipes},
            search_path=search_path,
            niceness=BACKGROUND_NICENESS,
        )
        self._ready: R | None = None

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak so far."""
        return self._engine.peak_memory_bytes

    async def ready(self) -> R:
        """Wait until it can be asked; what it says about itself.

        Raises:
            AgentAssetsError: it ended, passed a limit, or reported an error.
        """
        if self._ready is None:
            self._ready = await self.answer(self._program.answer)
        return self._ready

    async def answer(self, kind: type[A]) -> A:
        """Wait for the next answer of a kind. Raises as `ready` does."""

        def look() -> A | None:
            self._messages.poll()
            return self._messages.take(kind)

        return await self._engine.answer(look, reported=self._messages.reported_error)

    def stop(self) -> None:
        """End the program."""
        self._engine.stop()


def run_once(
    program: Program[P, R],
    folder: Path,
    params: P,
    *,
    env: EngineEnv,
    limits: EngineLimits,
    lease: GpuLease | None,
) -> R:
    """Run a program to its end without a step of Dagster; its result. Not from an event loop.

    Raises:
        AgentAssetsError: it failed, passed a limit, or reported an error.
    """
    running = ResidentProgram(program, folder, params, env=env, limits=limits, lease=lease)
    try:
        return asyncio.run(running.ready())
    finally:
        running.stop()


class Trainer(ResidentProgram[TrainerParams, TrainerReady]):
    """The trainer of `EngineBackend`: one step per request. See
    `engines/programs/rl_trainer.py`.
    """

    def __init__(
        self,
        folder: Path,
        params: TrainerParams,
        *,
        env: EngineEnv,
        limits: EngineLimits,
        lease: GpuLease | None,
    ) -> None:
        self._requests = params.requests
        self._requests.mkdir(parents=True, exist_ok=True)
        for old in self._requests.glob("*request-*.json"):
            old.unlink()
        super().__init__(RL_TRAINER, folder, params, env=env, limits=limits, lease=lease)

    async def learn(self, step: int, request: LearnRequest) -> LearnReply:
        """Make one step; its metrics. The checkpoint of the step is complete when this returns.

        Raises:
            AgentAssetsError: the trainer ended, passed a limit, or reported an error.
        """
        partial = self._requests / f".request-{step:04d}.json"
        partial.write_text(canonical_json(encode(request)), encoding="utf-8")
        partial.rename(self._requests / f"request-{step:04d}.json")
        return await self.answer(LearnReply)
