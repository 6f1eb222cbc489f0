"""The engines of reinforcement learning by name, behind one function."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.conversations.messages import JsonObject
from agent_assets.conversations.rendering.template_environment import TEMPLATE_FILE, is_native
from agent_assets.engines.base_settings import read_base_serving
from agent_assets.engines.chat_templates.parsers import OURS, tool_call_parser
from agent_assets.engines.context import EngineContext
from agent_assets.errors import ConfigError
from agent_assets.rl.backends.art_local import enforce_limits, internal_config, open_local_backend
from agent_assets.rl.backends.inputs import TrainingInputs
from agent_assets.rl.backends.swift_grpo import train_swift
from agent_assets.rl.config import RlConfig
from agent_assets.rl.judge import Judge
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
    inputs: TrainingInputs,
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
    check_sampled_as_served(config, inputs.model_dir, context.tool_call_parser)
    judge = (
        None if config.judge is None else Judge(config.judge, config.rewards, cache=work / "judge")
    )
    if config.engine == "swift_grpo":
        run = await train_swift(
            config,
            inputs=inputs,
            judge=judge,
            context=context,
            work=work / "swift",
            report=report,
        )
        return _trained(run.outcome, loaded_of(run.ready), run.peak_memory_bytes, judge)
    # The other backend's programs are held to lease and limits where they are started.
    async with enforce_limits(context) if config.backend == "local" else nullcontext():
        backend, internal = _backend(
            config, inputs.model_dir, inputs.adapter_dir, context, work / "art"
        )
        try:
            outcome = await learn(
                backend,
                name=ART_NAME,
                project=ART_PROJECT,
                base_model=inputs.model_dir,
                config=config,
                scenarios=inputs.scenarios,
                tools=inputs.tools,
                toolbox=inputs.toolbox,
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


def check_sampled_as_served(config: RlConfig, model_dir: Path, parser: str | None) -> None:
    """Refuse an engine that would sample otherwise than the model is served.

    Args:
        parser: the parser of tool calls that serving is told to use.

    Raises:
        ConfigError: it renders by templates of its own, or reads calls by another parser.
    """
    own_server = config.engine == "art" and config.backend == "engine"
    if read_base_serving(model_dir).quantization is not None and not own_server:
        raise ConfigError(
            "The base model is served quantized, and this engine of reinforcement learning samples "
            "from its full weights.",
            next_step="set rl.engine to art and leave rl.backend out.",
        )
    path = model_dir / TEMPLATE_FILE
    template = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not is_native(template):
        return
    if config.engine == "swift_grpo":
        raise ConfigError(
            "rl.engine swift_grpo samples by our chat template, and the base model has its own.",
            next_step="set rl.engine to art, which samples from vLLM as the model is served.",
        )
    if config.backend == "local" and (parser or tool_call_parser(template)) != OURS:
        raise ConfigError(
            f"ART's LocalBackend reads tool calls by vLLM's parser {OURS}, and the base model's "
            "chat template needs another.",
            next_step="leave rl.backend out.",
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
