"""The engine `swift_grpo`: ms-swift's GRPO in the engine environment, tools, rewards and records here.

Without a GPU ms-swift samples with transformers, all rollouts of a step at once and turn by turn. On a GPU vLLM does:
in the trainer's process with `rl.in_process`, else in a rollout server on a second GPU (weights go there by NCCL, which
refuses two ends on one device). The GPU side is written from the source of ms-swift 4.6.0 and has not run yet.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_assets.agent.loop import ToolCaller
from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.messages import Conversation, Message, ToolSchema, canonical_json
from agent_assets.engines.launch.folder import FolderProgram
from agent_assets.engines.machine import Machine
from agent_assets.errors import ConfigError
from agent_assets.rl.config import RlConfig
from agent_assets.rl.judge import Judge
from agent_assets.rl.learning import Outcome
from agent_assets.rl.records import equal_share, read_steps
from agent_assets.rl.rollout_service import RolloutService
from agent_assets.rl.scenarios import Scenario, schedule
from agent_assets.rl.scoring import Scoring
from agent_assets.rl.verdicts import hopeless, reached, verdict

_FIELDS = {
    "precision", "learning_rate", "advantage", "clip", "kl", "max_grad_norm", "max_turns", "max_tokens",
    "max_model_len", "seed", "rollouts_per_scenario", "scenarios_per_step", "keep_checkpoints", "concurrency",
}  # fmt: skip
_SETTINGS = "AGENT_ASSETS_ROLLOUTS"
RESULT = "result.json"


@dataclass(frozen=True)
class SwiftRun:
    """How a training by ms-swift ended. `loaded` is what the program says about weights, versions and device."""

    outcome: Outcome
    loaded: dict[str, Any]
    peak_memory_bytes: int


async def train_swift(
    config: RlConfig, *, model_dir: Path, adapter_dir: Path, scenarios: Sequence[Scenario], tools: Sequence[ToolSchema],
    toolbox: ToolCaller, judge: Judge | None, machine: Machine, work: Path, report: Callable[[Mapping[str, Any]], None],
) -> SwiftRun:  # fmt: skip
    """Train until the configured steps are done, or nothing is left to learn.

    Args:
        work: folder of this build alone; a later call goes on from the last checkpoint there.

    Raises:
        ConfigError: a setting that this engine cannot honour on this machine.
        AgentAssetsError: the engine, the judge or too many tool servers failed.
    """
    on_gpu = machine.env.name == "gpu"
    if config.in_process and not on_gpu:
        raise ConfigError(
            "rl.in_process asks swift_grpo for vLLM in the trainer's process, and there is no GPU.",
            next_step="leave it out: without a GPU ms-swift samples with transformers.",
        )
    checkpoints, records = work / "checkpoints", work / "records"
    last = last_checkpoint(checkpoints)
    steps = read_steps(records, last=last)
    plan = [scenario for step in schedule(scenarios, config) for scenario in step]
    service = RolloutService(
        config, plan, Scoring(config, tools, judge), toolbox, steps=steps, records=records, report=report
    )
    report({"stage": "reinforcement learning: starting"})
    done = last == config.steps or hopeless(steps, config) is not None or reached(steps, config)
    setup = config.model_dump(include=_FIELDS) | {
        "model_dir": str(model_dir),
        "adapter_dir": str(adapter_dir),
        "checkpoints": str(checkpoints),
        "resume": str(checkpoints / f"checkpoint-{last}") if last else None,
        "steps": 0 if done else config.steps,
        "vllm": on_gpu and config.in_process,
    }
    second = on_gpu and not config.in_process
    async with service.open() as socket:
        told = canonical_json({"socket": str(socket), **config.model_dump(include={"max_model_len", "max_tokens"})})
        environment = {_SETTINGS: told}
        async with _rollout_server(config, model_dir, machine, work, environment, wanted=second) as (server, address):
            folder = work / "trainer"
            _write_rows(folder, plan, tools)
            program = FolderProgram(
                "swift_grpo", folder, setup | address, env=machine.env, limits=machine.limits, lease=machine.lease,
                environment=environment,
            )  # fmt: skip
            try:
                await _first(program.answer(RESULT), service.failed, *server)
                loaded = await program.answer("ready.json")
            finally:
                program.stop()
    why = hopeless(steps, config) if len(steps) < config.steps or equal_share(steps) == 1.0 else None
    outcome = Outcome(steps, why is None, why or verdict(steps, config), folder / "adapter")
    return SwiftRun(outcome, loaded, max(program.peak_memory_bytes, int(loaded["peak_memory_bytes"])))


@asynccontextmanager
async def _rollout_server(
    config: RlConfig, model_dir: Path, machine: Machine, work: Path, environment: Mapping[str, str], *, wanted: bool
) -> AsyncIterator[tuple[list[Awaitable[Any]], dict[str, Any]]]:
    """`swift rollout` on a second GPU during the block: what ends when it does, and its address for the trainer.

    Raises:
        ConfigError: there is no second GPU.
    """
    if not wanted:
        yield [], {"rollout_server": None, "group_port": None}
        return
    if machine.another is None:
        raise ConfigError(
            "swift_grpo samples on a second GPU, and this machine has one.",
            next_step="set rl.in_process to true: vLLM then shares the GPU with the trainer.",
        )
    fields = {"max_turns", "max_model_len", "seed", "concurrency"}
    setup = config.model_dump(include=fields) | {"model_dir": str(model_dir)}
    with machine.another() as lease:
        server = FolderProgram(
            "swift_rollout", work / "server", setup, env=machine.env, limits=machine.limits, lease=lease,
            environment=environment,
        )  # fmt: skip
        try:
            ready = await server.answer("ready.json")
            yield [server.answer(RESULT)], {"rollout_server": ready["url"], "group_port": ready["group_port"]}
        finally:
            server.stop()


def last_checkpoint(folder: Path) -> int:
    """Step of the last complete checkpoint of ms-swift; 0 when there is none. The trainer's state is written last."""
    found = [0]
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        with suppress(json.JSONDecodeError):  # the machine went down while it was written
            found.append(int(json.loads(state.read_text(encoding="utf-8"))["global_step"]))
    return max(found)


def _write_rows(folder: Path, plan: Sequence[Scenario], tools: Sequence[ToolSchema]) -> None:
    """Questions as training rows are written, without an answer."""
    lines = []
    for place, scenario in enumerate(plan):
        item = scenario.item
        first = (Message("system", item.system),) if item.system else ()
        offered = () if item.kind == "recall_closed" else tuple(tools)
        row = to_swift(Conversation((*first, Message("user", item.question)), offered))
        lines.append(canonical_json(row | {"scenario": place}) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")


async def _first(*awaited: Awaitable[Any]) -> None:
    """Wait until the first of these ends; its error, if it is one."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in ended:
        task.result()
