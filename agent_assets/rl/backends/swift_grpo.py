"""The engine `swift_grpo`: ms-swift's GRPO in the engine environment, tools, rewards and records
here.

Without a GPU ms-swift samples with transformers, all rollouts of a step at once and turn by turn.
On a GPU vLLM does: in the trainer's process with `rl.in_process`, else in a rollout server on a
second GPU (weights go there by NCCL, which refuses two ends on one device). The GPU side is written
from the source of ms-swift 4.6.0 and has not run yet.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.markers import conversation_without_markers
from agent_assets.conversations.messages import Conversation, Message, ToolSchema, canonical_json
from agent_assets.engines.checkpoints import checkpoint_folder, last_checkpoint_step
from agent_assets.engines.codec import encode
from agent_assets.engines.context import EngineContext
from agent_assets.engines.launch.resident import ResidentProgram
from agent_assets.engines.rl_contracts import (
    ROLLOUT_SETTINGS,
    SWIFT_GRPO,
    SWIFT_ROLLOUT,
    GrpoParams,
    GrpoReady,
    GrpoResult,
    RolloutServerParams,
    RolloutServerReady,
    RolloutSettings,
    ServerEnded,
)
from agent_assets.errors import ConfigError
from agent_assets.rl.backends.inputs import TrainingInputs
from agent_assets.rl.backends.rollout_service import RolloutService
from agent_assets.rl.config import RlConfig
from agent_assets.rl.early_stopping import no_signal, reached, verdict
from agent_assets.rl.judge import Judge
from agent_assets.rl.records import read_steps, zero_variance_share
from agent_assets.rl.scenarios.scenarios import Scenario, schedule
from agent_assets.rl.scoring import Scoring
from agent_assets.rl.train_loop import TrainingOutcome


@dataclass(frozen=True)
class SwiftRun:
    """How a training by ms-swift ended. `ready` is what the program says about weights, versions
    and device.
    """

    outcome: TrainingOutcome
    ready: GrpoReady
    peak_memory_bytes: int


async def train_swift(
    config: RlConfig,
    *,
    inputs: TrainingInputs,
    judge: Judge | None,
    context: EngineContext,
    work: Path,
    report: Callable[[Mapping[str, object]], None],
) -> SwiftRun:
    """Train until the configured steps are done, or nothing is left to learn.

    Args:
        work: folder of this build alone; a later call goes on from the last checkpoint there.

    Raises:
        ConfigError: a setting that this engine cannot honour on this machine.
        AgentAssetsError: the engine, the judge or too many tool servers failed.
    """
    on_gpu = context.env.name == "gpu"
    if config.in_process and not on_gpu:
        raise ConfigError(
            "rl.in_process asks swift_grpo for vLLM in the trainer's process, and there is no GPU.",
            next_step="leave it out: without a GPU ms-swift samples with transformers.",
        )
    checkpoints, records = work / "checkpoints", work / "records"
    last = last_checkpoint_step(checkpoints)
    steps = read_steps(records, last=last)
    plan = [scenario for step in schedule(inputs.scenarios, config) for scenario in step]
    service = RolloutService(
        config,
        plan,
        Scoring(config, inputs.tools, judge),
        inputs.toolbox,
        steps=steps,
        records=records,
        report=report,
    )
    report({"stage": "reinforcement learning: starting"})
    done = last == config.steps or no_signal(steps, config) is not None or reached(steps, config)
    second = on_gpu and not config.in_process
    folder = work / "trainer"
    async with service.open() as socket:
        settings = RolloutSettings(socket, config.max_model_len, config.max_tokens)
        environment = {ROLLOUT_SETTINGS: canonical_json(encode(settings))}
        async with _rollout_server(
            config, inputs.model_dir, context, work, environment, needed=second
        ) as server:
            params = GrpoParams(
                model_dir=inputs.model_dir,
                adapter_dir=inputs.adapter_dir,
                rows_file=_write_rows(folder, plan, inputs.tools),
                out_dir=folder / "adapter",
                checkpoints=checkpoints,
                resume=checkpoint_folder(checkpoints, last) if last else None,
                steps=0 if done else config.steps,
                vllm=on_gpu and config.in_process,
                rollout_server=None if server is None else server.ready.url,
                group_port=None if server is None else server.ready.group_port,
                learning=config.hyper_params(),
                max_turns=config.max_turns,
                max_model_len=config.max_model_len,
                rollouts_per_scenario=config.rollouts_per_scenario,
                scenarios_per_step=config.scenarios_per_step,
                keep_checkpoints=config.keep_checkpoints,
                concurrency=config.concurrency,
            )
            program = ResidentProgram(
                SWIFT_GRPO,
                folder,
                params,
                env=context.env,
                limits=context.limits,
                lease=context.lease,
                environment=environment,
            )
            try:
                ends = [service.failed] if server is None else [service.failed, server.end]
                await _first(program.answer(GrpoResult), *ends)
                ready = await program.ready()
            finally:
                program.stop()
    why = (
        no_signal(steps, config)
        if len(steps) < config.steps or zero_variance_share(steps) == 1.0
        else None
    )
    outcome = TrainingOutcome(steps, why is None, why or verdict(steps, config), params.out_dir)
    return SwiftRun(outcome, ready, max(program.peak_memory_bytes, ready.peak_memory_bytes))


@dataclass(frozen=True)
class _RolloutServer:
    """`ready` says where it answers; `end` raises when it ends."""

    ready: RolloutServerReady
    end: Awaitable[ServerEnded]


@asynccontextmanager
async def _rollout_server(
    config: RlConfig,
    model_dir: Path,
    context: EngineContext,
    work: Path,
    environment: Mapping[str, str],
    *,
    needed: bool,
) -> AsyncIterator[_RolloutServer | None]:
    """`swift rollout` on a second GPU during the block; None where none is wanted.

    Raises:
        ConfigError: there is no second GPU.
    """
    if not needed:
        yield None
        return
    if context.another is None:
        raise ConfigError(
            "swift_grpo samples on a second GPU, and this machine has one.",
            next_step="set rl.in_process to true: vLLM then shares the GPU with the trainer.",
        )
    params = RolloutServerParams(
        model_dir=model_dir,
        max_turns=config.max_turns,
        max_model_len=config.max_model_len,
        seed=config.seed,
        concurrency=config.concurrency,
    )
    with context.another() as lease:
        server = ResidentProgram(
            SWIFT_ROLLOUT,
            work / "server",
            params,
            env=context.env,
            limits=context.limits,
            lease=lease,
            environment=environment,
        )
        try:
            yield _RolloutServer(await server.ready(), server.answer(ServerEnded))
        finally:
            server.stop()


def _write_rows(folder: Path, plan: Sequence[Scenario], tools: Sequence[ToolSchema]) -> Path:
    """Questions as training rows are written, without an answer; the file."""
    lines = []
    for place, scenario in enumerate(plan):
        item = scenario.item
        first = (Message("system", item.system),) if item.system else ()
        offered = () if item.kind == "recall_closed" else tuple(tools)
        prompt = Conversation((*first, Message("user", item.question)), offered)
        row = to_swift(conversation_without_markers(prompt))
        lines.append(canonical_json(row | {"scenario": place}) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


async def _first(*awaited: Awaitable[object]) -> None:
    """Wait until the first of these ends; its error, if it is one."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaited]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in ended:
        task.result()
