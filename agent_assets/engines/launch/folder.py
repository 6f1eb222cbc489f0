"""Trainers as the core sees them: programs in the engine environment that talk through files in a folder."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from agent_assets.conversations.messages import canonical_json
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.failures import failure
from agent_assets.engines.launch.process import BACKGROUND_NICENESS, EngineLimits, EngineProcess, start_engine

_PACKAGE = "agent_assets.engines.programs"
_POLL_SECONDS = 0.05
_MEASURE_EVERY = 20


class FolderProgram:
    """A running program. Its folder holds setup.json, what it answers, error.json when it failed, and its log.

    Args:
        program: module in `engines/programs`; also the name that errors use.
        environment: further variables of its process.
    """

    def __init__(
        self, program: str, folder: Path, setup: Mapping[str, Any], *, env: EngineEnv, limits: EngineLimits,
        lease: GpuLease | None, environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        (folder / "setup.json").write_text(canonical_json(dict(setup)), encoding="utf-8")
        self._program, self._folder, self._limits = program, folder, limits
        self.log_path = folder / "trainer.log"
        self._engine: EngineProcess = start_engine(
            env, f"{_PACKAGE}.{program}", [str(folder)], name=program, log_path=self.log_path, lease=lease,
            environment=environment, grace_seconds=0, niceness=BACKGROUND_NICENESS,
        )  # fmt: skip

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak so far."""
        return self._engine.peak_memory_bytes

    async def answer(self, name: str) -> dict[str, Any]:
        """Wait for a file of the program; its content.

        Raises:
            AgentAssetsError: the program ended, passed a limit, or reported an error.
        """
        path, rounds = self._folder / name, 0
        while not path.exists():
            code = self._engine.process.poll()
            if code is not None and not path.exists():
                raise failure(self._program, code, self.log_path, self._reported(), shown_log=self.log_path)
            if rounds % _MEASURE_EVERY == 0 and (error := self._engine.over_limit(self._limits)):
                raise error
            rounds += 1
            await asyncio.sleep(_POLL_SECONDS)
        return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))

    def stop(self) -> None:
        """End the program."""
        self._engine.stop()

    def _reported(self) -> dict[str, Any] | None:
        path = self._folder / "error.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class Trainer(FolderProgram):
    """The trainer of `EngineBackend`: one step per request. See `engines/programs/rl_trainer.py`."""

    def __init__(
        self, folder: Path, setup: Mapping[str, Any], *, env: EngineEnv, limits: EngineLimits, lease: GpuLease | None
    ) -> None:
        super().__init__("rl_trainer", folder, setup, env=env, limits=limits, lease=lease)

    async def ready(self) -> dict[str, Any]:
        """Wait until the model is loaded; what was loaded.

        Raises:
            AgentAssetsError: it ended, or passed a limit.
        """
        return await self.answer("ready.json")

    async def learn(self, step: int, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make one step; its metrics. The checkpoint of the step is complete when this returns.

        Raises:
            AgentAssetsError: the trainer ended, passed a limit, or reported an error.
        """
        partial = self._folder / f".request-{step:04d}.json"
        partial.write_text(canonical_json(dict(batch)), encoding="utf-8")
        partial.rename(self._folder / f"request-{step:04d}.json")
        return await self.answer(f"reply-{step:04d}.json")
