"""The trainer as the core sees it: a child in the engine environment that makes one step per request."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from agent_assets.conversations.messages import canonical_json
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.failures import failure
from agent_assets.engines.gpu import GpuLease
from agent_assets.engines.process import EngineLimits, EngineProcess, start_engine

_MODULE = "agent_assets.engines.programs.rl_trainer"
_POLL_SECONDS = 0.05
_MEASURE_EVERY = 20


class Trainer:
    """A running trainer. `folder` holds its files, see `engines/programs/rl_trainer.py`."""

    def __init__(
        self, folder: Path, setup: Mapping[str, Any], *, env: EngineEnv, limits: EngineLimits, lease: GpuLease | None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        (folder / "setup.json").write_text(canonical_json(dict(setup)), encoding="utf-8")
        self._folder, self._limits = folder, limits
        self.log_path = folder / "trainer.log"
        self._engine: EngineProcess = start_engine(
            env, _MODULE, [str(folder)], name="rl_trainer", log_path=self.log_path, lease=lease, environment={},
            grace_seconds=0,
        )  # fmt: skip

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak so far."""
        return self._engine.peak_memory_bytes

    async def ready(self) -> dict[str, Any]:
        """Wait until the model is loaded; what was loaded.

        Raises:
            AgentAssetsError: it ended, or passed a limit.
        """
        return await self._answer("ready.json")

    async def learn(self, step: int, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make one step; its metrics. The checkpoint of the step is complete when this returns.

        Raises:
            AgentAssetsError: the trainer ended, passed a limit, or reported an error.
        """
        partial = self._folder / f".request-{step:04d}.json"
        partial.write_text(canonical_json(dict(batch)), encoding="utf-8")
        partial.rename(self._folder / f"request-{step:04d}.json")
        return await self._answer(f"reply-{step:04d}.json")

    def stop(self) -> None:
        """End the trainer."""
        self._engine.stop()

    async def _answer(self, name: str) -> dict[str, Any]:
        path, rounds = self._folder / name, 0
        while not path.exists():
            code = self._engine.process.poll()
            if code is not None and not path.exists():
                raise failure("rl_trainer", code, self.log_path, self._reported(), shown_log=self.log_path)
            if rounds % _MEASURE_EVERY == 0 and (error := self._engine.over_limit(self._limits)):
                raise error
            rounds += 1
            await asyncio.sleep(_POLL_SECONDS)
        return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))

    def _reported(self) -> dict[str, Any] | None:
        path = self._folder / "error.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
