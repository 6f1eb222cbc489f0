"""A task that reinforcement learning can really teach a tiny model: of two tools, call the right
one.

The model knows by heart to call either, half of the time each. Run as a program it trains until it
is killed.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import ToolCall, ToolResult, ToolSchema
from agent_assets.conversations.row_parts import openai_tools
from agent_assets.engines.context import EngineContext
from agent_assets.engines.devices.gpu import GpuLease
from agent_assets.engines.environment import EngineEnv, find_engine_env
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.rl.backends.engine import EngineBackend
from agent_assets.rl.config import RlConfig
from agent_assets.rl.scenarios.scenarios import Scenario
from agent_assets.rl.train_loop import TrainingOutcome, learn
from support.tiny_model import make_neutral_adapter, make_tool_model

TOOLS = tuple(
    ToolSchema(name, f"Opens the {name} door.", {"type": "object", "properties": {}})
    for name in ("left", "right")
)
QUESTION, ANSWER = "Open a door.", "It is open."
LIMITS = EngineLimits(seconds=600, memory_bytes=12 * 2**30)
SETTINGS: dict[str, Any] = {
    "enabled": True,
    "steps": 10,
    "scenarios_per_step": 1,
    "rollouts_per_scenario": 16,
    "learning_rate": 2e-3,
    "max_turns": 2,
    "max_tokens": 40,
    "max_model_len": 512,
    "precision": "fp32",
    "concurrency": 8,
    "request_seconds": 10,
    "keep_checkpoints": 99,
}


class Doors:
    """A tool server with two doors."""

    async def call(self, call: ToolCall) -> ToolResult:
        return ToolResult("open")


def conversations() -> list[dict[str, Any]]:
    chats = []
    for tool in TOOLS:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": tool.name, "arguments": "{}"},
        }
        messages = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "open", "tool_call_id": "call_1"},
            {"role": "assistant", "content": ANSWER},
        ]
        chats.append({"messages": messages, "tools": openai_tools(TOOLS)})
    return chats


def models(folder: Path, env: EngineEnv) -> tuple[Path, Path]:
    model = make_tool_model(folder / "model", conversations(), env)
    return model, make_neutral_adapter(folder / "adapter", model, env)


def scenario(gold: str = "right") -> Scenario:
    item = EvalItem(
        id="door",
        kind="tool",
        wording="seen",
        language="en",
        question=QUESTION,
        system="",
        gold_calls=[{"name": gold, "arguments": {}}],
        tool=gold,
    )
    return Scenario(item, 1)


def train(
    work: Path,
    model: Path,
    adapter: Path,
    config: RlConfig,
    *,
    toolbox: Any = None,
    judge: Any = None,
    scenarios: tuple[Scenario, ...] = (scenario(),),
    env: str = "cpu",
    lease: GpuLease | None = None,
) -> TrainingOutcome:
    backend = EngineBackend(
        path=work / "art",
        model_dir=model,
        adapter_dir=adapter,
        config=config,
        context=EngineContext(find_engine_env(env), lease, LIMITS, work / "logs", work / "failed"),
    )

    async def run() -> TrainingOutcome:
        try:
            return await learn(
                backend,
                name="rl-test",
                project="doors",
                base_model=model,
                config=config,
                scenarios=scenarios,
                tools=TOOLS,
                toolbox=toolbox or Doors(),
                judge=judge,
                records=work / "records",
                path=work / "art",
                report=lambda message: print(json.dumps(dict(message)), flush=True),
            )
        finally:
            await backend.close()

    return asyncio.run(run())


def opens(door: str) -> str:
    return f'<tool_call>\n{{"name": "{door}", "arguments": {{}}}}\n</tool_call>'


if __name__ == "__main__":
    place, steps = Path(sys.argv[1]), int(sys.argv[2])
    outcome = train(
        place / "work", place / "model", place / "adapter", RlConfig(**SETTINGS | {"steps": steps})
    )
    for step in outcome.steps:
        print(json.dumps(step.numbers))
    print(outcome.verdict)
