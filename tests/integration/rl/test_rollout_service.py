"""The service that an engine asks for tools and rewards, on its real socket: what it executes,
scores, counts, ends.
"""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent_assets.conversations.messages import ToolCall, ToolResult
from agent_assets.errors import EngineFailed, ToolServerError
from agent_assets.rl.backends.rollout_service import RolloutService
from agent_assets.rl.config import RlConfig
from agent_assets.rl.records import TrainingStep, read_steps
from agent_assets.rl.scoring import Scoring
from support.two_doors import ANSWER, TOOLS, Doors, opens, scenario

SETTINGS: dict[str, Any] = {
    "engine": "swift_grpo",
    "steps": 3,
    "scenarios_per_step": 1,
    "rollouts_per_scenario": 4,
    "max_turns": 2,
    "equal_patience": 2,
}

Ask = Callable[..., Awaitable[dict[str, Any]]]


class Client:
    """What an engine does, by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def ask(self, **request: Any) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(json.dumps(request).encode() + b"\n")
        line = await reader.readline()
        writer.close()
        return dict(json.loads(line))

    async def turn(self, rollout: str, text: str, *, cut: bool = False) -> dict[str, Any]:
        return await self.ask(op="turn", rollout=rollout, scenario=0, text=text, tokens=5, cut=cut)

    async def step(self, number: int, *doors: str, trained: bool = True) -> dict[str, Any]:
        """Rollouts that open one door each and answer; the reply to their scores, and to the
        training.
        """
        await self.ask(op="begin")
        names = [f"s{number}r{n}" for n in range(len(doors))]
        for name, door in zip(names, doors, strict=True):
            if not (await self.turn(name, opens(door)))["done"]:
                await self.turn(name, ANSWER)
        reply = await self.ask(op="score", step=number, rollouts=names)
        if trained:
            reply |= await self.ask(op="trained", step=number, metrics={"loss": 0.5})
        return reply


def served(
    folder: Path, work: Callable[[Client], Awaitable[Any]], *, toolbox: Any = None, **changed: Any
) -> tuple[Any, list[TrainingStep], BaseException | None, list[dict[str, Any]]]:
    """What `work` returned, the steps, why the run failed, and the progress that was reported."""
    config = RlConfig(**SETTINGS | changed)
    steps: list[TrainingStep] = []
    messages: list[dict[str, Any]] = []

    async def run() -> tuple[Any, BaseException | None]:
        service = RolloutService(
            config,
            [scenario()] * config.steps,
            Scoring(config, TOOLS, None),
            toolbox or Doors(),
            steps=steps,
            records=folder,
            report=lambda message: messages.append(dict(message)),
        )
        async with service.open() as path:
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            result = await work(Client(path))
        assert not path.parent.exists()
        return result, service.failed.exception() if service.failed.done() else None

    outcome, failed = asyncio.run(run())
    return outcome, steps, failed, messages


def test_calls_are_executed_rewards_told_and_the_step_recorded_and_reported(tmp_path: Path) -> None:
    async def work(client: Client) -> Any:
        await client.ask(op="begin")
        first = await client.turn("a", opens("right"))
        last = await client.turn("a", ANSWER)
        await client.turn("b", "I shall not.")
        await client.turn("c", opens("left"))  # and the engine gives it no other turn
        await client.turn("d", opens("right") + " and then", cut=True)
        scores = await client.ask(op="score", step=1, rollouts=["a", "b", "c", "d"])
        return first, last, scores, await client.ask(op="trained", step=1, metrics={"loss": 0.5})

    (first, last, scores, trained), steps, failed, messages = served(tmp_path, work)
    assert failed is None and trained == {"stop": False}
    assert first == {"done": False, "messages": [{"role": "tool", "content": "open"}]}
    assert last == {"done": True, "messages": []}
    assert scores == {"rewards": [1.0, 0.0, 0.0, 0.0]}
    (step,) = read_steps(tmp_path, last=1)
    assert step.numbers == steps[0].numbers and step.numbers["train"] == {"loss": 0.5}
    assert (step.numbers["reward"], step.numbers["group_spread"], step.numbers["over_length"]) == (
        0.25,
        1.0,
        2,
    )
    assert step.numbers["answer_tokens"] == 6.25  # 10, 5, 5 and 5
    assert [trajectory["number"] for trajectory in step.trajectories] == [0, 1, 2, 3]
    assert step.trajectories[0]["messages"][-1] == {"role": "assistant", "content": ANSWER}
    shown = {
        name: messages[-1][name]
        for name in ("step", "total_steps", "reward", "group_spread", "call_validity", "loss")
    }
    assert shown == {
        "step": 1,
        "total_steps": 3,
        "reward": 0.25,
        "group_spread": 1.0,
        "call_validity": step.numbers["call_validity"],
        "loss": 0.5,
    }


def test_a_rollout_ends_with_its_last_turn_even_when_it_calls(tmp_path: Path) -> None:
    async def work(client: Client) -> Any:
        await client.turn("a", opens("right"))
        return await client.turn("a", opens("right"))

    assert served(tmp_path, work)[0]["done"] is True


class Flaky(Doors):
    """A tool server that is gone for one door."""

    async def call(self, call: ToolCall) -> ToolResult:
        if call.name == "left":
            raise ToolServerError("the server stopped")
        return await super().call(call)


def test_rollouts_that_a_tool_server_broke_have_no_advantage_and_too_many_end_the_run(
    tmp_path: Path,
) -> None:
    async def work(client: Client) -> Any:
        good = await client.step(1, "left", "right", "right", "right")
        return good, await client.step(2, "left", "left", "left", "right", trained=False)

    (good, bad), steps, failed, _ = served(tmp_path, work, toolbox=Flaky())
    assert good["rewards"] == [1.0, 1.0, 1.0, 1.0]  # the mean of what was scored
    assert (
        steps[0].numbers["excluded"] == {"rollouts: tool server failed": 1}
        and steps[0].numbers["rollouts"] == 3
    )
    assert bad == {"failed": True} and isinstance(failed, EngineFailed)
    assert "3 of 4 rollouts say nothing about the model (3 tool server failed)" in failed.message


def test_equal_rewards_stop_the_training(tmp_path: Path) -> None:
    async def work(client: Client) -> Any:
        return [(await client.step(number, *["right"] * 4))["stop"] for number in (1, 2)]

    assert served(tmp_path, work)[0] == [False, True]


def test_a_reached_target_stops_the_training(tmp_path: Path) -> None:
    async def work(client: Client) -> Any:
        return (await client.step(1, "left", "right", "left", "right"))["stop"]

    assert served(tmp_path / "at", work, target_reward=0.5)[0] is True
    assert served(tmp_path / "below", work, target_reward=0.6)[0] is False


def test_a_rollout_whose_time_is_up_is_left_out(tmp_path: Path) -> None:
    async def work(client: Client) -> Any:
        await client.turn("slow", opens("right"))
        await asyncio.sleep(0.4)
        late = await client.turn("slow", ANSWER)
        names = ["x", "y", "z"]
        await client.ask(op="begin")
        for name in names:
            await client.turn(name, "No.")
        return late, await client.ask(op="score", step=1, rollouts=["slow", *names])

    (late, scores), _, failed, _ = served(tmp_path, work, rollout_seconds=0.2)
    assert late["done"] is True and scores["rewards"] == [0.0] * 4 and failed is None


def test_an_unknown_request_ends_the_run(tmp_path: Path) -> None:
    async def work(client: Client) -> Any:
        return await client.ask(op="dance")

    answer, _, failed, _ = served(tmp_path, work)
    assert answer == {"failed": True} and isinstance(failed, EngineFailed)


@pytest.mark.parametrize("half", [b"", b'{"op": "tu'])
def test_an_engine_that_dies_while_it_asks_is_no_error_of_the_service(
    tmp_path: Path, half: bytes
) -> None:
    async def work(client: Client) -> Any:
        _, writer = await asyncio.open_unix_connection(client.path)
        writer.write(half)
        writer.close()
        return await client.ask(op="begin")

    answer, _, failed, _ = served(tmp_path, work)
    assert answer == {} and failed is None
