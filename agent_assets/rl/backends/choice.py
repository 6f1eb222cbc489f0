"""The engines of reinforcement learning by name, behind one function."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.agent.loop import ToolCaller
from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.engines.context import EngineContext
from agent_assets.errors import ConfigError
from agent_assets.rl.backends.art_local import enforce_limits, internal_config, open_local_backend
from agent_assets.rl.backends.swift_grpo import train_swift
from agent_assets.rl.config import RlConfig
from agent_assets.rl.judge import Judge
from agent_assets.rl.scenarios import Scenario
from agent_assets.rl.train_loop import Loaded, TrainingOutcome, learn, loaded_of

if TYPE_CHECKING:
    from agent_assets.rl.train_loop import TrainingBackend

ART_PROJECT = "agent-assets"
ART_NAME = "rl"


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        weights_loaded: the base weights really loaded: name, hash, quantization, dtype.
        judge: what judging cost, None without a judge.
    """

    outcome: TrainingOutcome
    versions: dict[str, str]
    device: str
    weights_loaded: Mapping[str, str | None]
    peak_memory_bytes: int
    judge: dict[str, int] | None


async def train_rl(
    config: RlConfig,
    *,
    model_dir: Path,
    adapter_dir: Path,
    scenarios: Sequence[Scenario],
    tools: Sequence[ToolSchema],
    toolbox: ToolCaller,
    context: EngineContext,
    work: Path,
    report: Callable[[Mapping[str, object]], None],
) -> Trained:
    """Train the adapter further with the engine the configuration names.

    Args:
        work: folder of this build alone; a later call with the same inputs goes on from what lies
            there.

    Raises:
        AgentAssetsError: an engine, the judge or too many tool servers failed.
    """
    judge = (
        None if config.judge is None else Judge(config.judge, config.rewards, cache=work / "judge")
    )
    if config.engine == "swift_grpo":
        run = await train_swift(
            config,
            model_dir=model_dir,
            adapter_dir=adapter_dir,
            scenarios=scenarios,
            tools=tools,
            toolbox=toolbox,
            judge=judge,
            context=context,
            work=work / "swift",
            report=report,
        )
        return _trained(run.outcome, loaded_of(run.ready), run.peak_memory_bytes, judge)
    # The other backend's programs are held to lease and limits where they are started.
    async with enforce_limits(context) if config.backend == "local" else nullcontext():
        backend, internal = _backend(config, model_dir, adapter_dir, context, work / "art")
        try:
            outcome = await learn(
                backend,
                name=ART_NAME,
                project=ART_PROJECT,
                base_model=model_dir,
                config=config,
                scenarios=scenarios,
                tools=tools,
                toolbox=toolbox,
                judge=judge,
                records=work / "records",
                path=work / "art",
                report=report,
                internal_config=internal,
            )
        finally:
            await backend.close()
    assert backend.loaded is not None, "a backend that trained was started"
    versions = {"openpipe-art": version("openpipe-art"), **backend.loaded.versions}
    return _trained(
        outcome, replace(backend.loaded, versions=versions), backend.peak_memory_bytes, judge
    )


def _trained(
    outcome: TrainingOutcome, loaded: Loaded, peak_memory_bytes: int, judge: Judge | None
) -> Trained:
    return Trained(
        outcome=outcome,
        versions=dict(loaded.versions),
        device=loaded.device,
        weights_loaded=loaded.weights,
        peak_memory_bytes=peak_memory_bytes,
        judge=None if judge is None else asdict(judge.usage),
    )


def _backend(
    config: RlConfig, model_dir: Path, adapter_dir: Path, context: EngineContext, path: Path
) -> "tuple[TrainingBackend, JsonObject | None]":
    from agent_assets.rl.backends.engine import EngineBackend

    if config.backend == "engine":
        return EngineBackend(
            path=path, model_dir=model_dir, adapter_dir=adapter_dir, config=config, context=context
        ), None
    if context.env.name != "gpu":
        raise ConfigError(
            "rl.backend is local, ART's LocalBackend, and there is no GPU.",
            next_step="leave it out: the backend `engine` trains on a CPU, too.",
        )
    return open_local_backend(path, model_dir, adapter_dir, config), internal_config(
        config, model_dir, adapter_dir
    )
