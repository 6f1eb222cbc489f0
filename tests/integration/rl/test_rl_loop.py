"""The training loop against a model server and a backend whose answers are known: what is counted,
what stops it.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_assets.agent.trace_store import list_traces
from agent_assets.agent.weave_tracing import TraceFigures, WeaveTracing
from agent_assets.conversations.messages import ToolCall, ToolResult
from agent_assets.engines.servers.choice import SERVER
from agent_assets.errors import EngineFailed, ToolServerError
from agent_assets.rl.config import JudgeConfig, RlConfig
from agent_assets.rl.judge import Judge
from agent_assets.rl.train_loop import TrainingOutcome, learn
from support.fake_openai import completion_body
from support.judge_server import judge_server, order_of, scores
from support.two_doors import ANSWER, TOOLS, Doors, scenario

SETTINGS: dict[str, Any] = {
    "steps": 4,
    "scenarios_per_step": 2,
    "rollouts_per_scenario": 4,
    "max_turns": 2,
    "concurrency": 1,
    "equal_patience": 2,
    "rollout_seconds": 20,
}


def reply(
    *, call: str | None = None, text: str = "", finish: str = "stop"
) -> tuple[int, dict[str, Any]]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if call is not None:
        message["tool_calls"] = [
            {"id": "c1", "type": "function", "function": {"name": call, "arguments": "{}"}}
        ]
    body = completion_body(
        message,
        finish=finish,
        token_ids=[5, 6],
        logprobs={"content": [{"token": "x", "logprob": -0.5, "top_logprobs": []}] * 2},
    )
    return 200, body | {"prompt_token_ids": [1, 2]}


def doors(*turns: str) -> Callable[[dict[str, Any]], tuple[int, Any]]:
    """Calls the doors in turn, rollout by rollout, and then answers."""
    opened = iter(range(1_000_000))

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        if request["messages"][-1]["role"] == "tool":
            return reply(text=ANSWER)
        return reply(call=turns[next(opened) % len(turns)])

    return answer


class Recorder:
    """A backend that keeps what it was given and copies checkpoints."""

    def __init__(self, folder: Path, url: str) -> None:
        self.server = SERVER
        self.extra_body: dict[str, bool] = {}
        self._folder, self._url = folder, url
        self.groups: list[Any] = []

    async def register(self, model: Any) -> None:
        self._checkpoints = self._folder / model.project / "models" / model.name / "checkpoints"
        (self._checkpoints / "0000").mkdir(parents=True, exist_ok=True)

    async def _prepare_backend_for_training(
        self, model: Any, config: Any = None
    ) -> tuple[str, str]:
        return self._url, "local"

    def _model_inference_name(self, model: Any, step: int | None = None) -> str:
        return f"{model.name}@{step}"

    async def _get_step(self, model: Any) -> int:
        return max(int(path.name) for path in self._checkpoints.iterdir())

    async def train(self, model: Any, groups: Any, **settings: Any) -> Any:
        from art.types import LocalTrainResult

        step = await self._get_step(model) + 1
        self.groups.append(groups)
        shutil.copytree(self._checkpoints / f"{step - 1:04d}", self._checkpoints / f"{step:04d}")
        return LocalTrainResult(step=step, metrics={"loss": 0.1})


def run(
    folder: Path, url: str, *, toolbox: Any = None, judge: Judge | None = None, **settings: Any
) -> tuple[TrainingOutcome, Recorder]:
    config = RlConfig(**SETTINGS | settings)
    backend = Recorder(folder / "art", url)
    outcome = asyncio.run(
        learn(
            backend,  # type: ignore[arg-type]  # what of ART the loop calls
            name="rl",
            project="p",
            base_model=folder,
            config=config,
            tools=TOOLS,
            judge=judge,
            scenarios=[scenario(), scenario()],
            toolbox=toolbox or Doors(),
            records=folder / "records",
            path=folder / "art",
            report=lambda message: None,
        )
    )
    return outcome, backend


def test_groups_reach_the_backend_scored_with_every_turn_it_can_learn_from(tmp_path: Path) -> None:
    with judge_server(doors("left", "right")) as server:
        outcome, backend = run(tmp_path, server.url)
    assert outcome.learned and len(outcome.steps) == 4
    group = backend.groups[0][0]
    assert [trajectory.reward for trajectory in group] == [0.0, 1.0, 0.0, 1.0]
    entries = group.trajectories[1].messages_and_choices
    assert [type(entry).__name__ for entry in entries] == ["dict", "Choice", "dict", "Choice"]
    assert entries[1].prompt_token_ids == [1, 2] and entries[1].token_ids == [5, 6]
    numbers = outcome.steps[0].numbers
    assert (numbers["reward"], numbers["group_spread"], numbers["equal_groups"]) == (0.5, 1.0, 0)
    assert numbers["components"]["tool"] == 0.5 and numbers["answer_tokens"] == 4


def test_rollouts_are_traced_with_every_model_call_and_no_token(tmp_path: Path) -> None:
    path = tmp_path / "traces.sqlite"
    attributes = {"pipeline": "p", "elder": "", "run_id": "run-1"}
    with (
        judge_server(doors("left", "right")) as server,
        WeaveTracing().session(path, attributes, report=print) as figures,
    ):
        run(tmp_path, server.url, steps=1)
    assert figures == TraceFigures(
        spans=2 * 4 * 4
    )  # rollouts, each with two model calls and one tool call
    assert all(
        (line.kind, line.steps, line.failed) == ("rollout", 4, 0) for line in list_traces(path)
    )
    content = path.read_bytes()
    assert (
        ANSWER.encode() in content
        and b"prompt_token_ids" not in content
        and b"logprob" not in content
    )


def test_equal_rewards_stop_the_run_and_say_so(tmp_path: Path) -> None:
    with judge_server(doors("right")) as server:
        outcome, backend = run(tmp_path, server.url)
    assert not outcome.learned and len(backend.groups) == 2
    assert outcome.verdict == (
        "learned nothing: 100% of groups had equal rewards (step 2 of 4); mean reward 1.00"
    )


def test_a_run_ends_early_at_its_target(tmp_path: Path) -> None:
    with judge_server(doors("left", "right")) as server:
        outcome, backend = run(tmp_path / "below", server.url, target_reward=0.51)
        assert len(backend.groups) == 4
        outcome, backend = run(tmp_path / "at", server.url, target_reward=0.5)
    assert outcome.learned and len(backend.groups) == 1 and outcome.checkpoint.name == "0001"
    assert outcome.verdict.endswith("in the last 1 of 1 steps; ended there, at the target of 0.5")
    with judge_server(doors("right")) as server:
        outcome, _ = run(tmp_path / "known", server.url, target_reward=0.5)
    assert not outcome.learned  # the training did not teach what it knew before


def test_rollouts_that_are_all_cut_say_which_limit_to_raise(tmp_path: Path) -> None:
    with judge_server(reply(text="and then and then", finish="length")) as server:
        outcome, _ = run(tmp_path, server.url)
    assert outcome.verdict.endswith(
        "every rollout was cut at its length limit: raise rl.max_tokens or rl.max_model_len"
    )
    too_long = (400, "This model's maximum context length is 512 tokens.")
    with judge_server(too_long) as server:
        outcome, _ = run(tmp_path / "context", server.url)
    assert outcome.steps[0].numbers["over_length"] == 8 and not outcome.learned


class Flaky(Doors):
    """A tool server that fails every `every`-th call."""

    def __init__(self, every: int) -> None:
        self.count, self.every = 0, every

    async def call(self, call: ToolCall) -> ToolResult:
        self.count += 1
        if self.count % self.every == 0:
            raise ToolServerError("the server stopped")
        return await super().call(call)


def test_a_tool_server_failing_in_half_of_the_rollouts_is_left_out_and_counted(
    tmp_path: Path,
) -> None:
    with judge_server(doors("left", "right", "right", "left")) as server:
        outcome, backend = run(tmp_path, server.url, toolbox=Flaky(2))
        assert outcome.steps[0].numbers["excluded"] == {"rollouts: tool server failed": 4}
        assert [len(group) for group in backend.groups[0]] == [2, 2]
        with pytest.raises(EngineFailed, match="8 of 8 rollouts say nothing about the model"):
            run(tmp_path / "dead", server.url, toolbox=Flaky(1))


def test_a_tool_that_answers_errors_is_an_observation_and_costs_reward(tmp_path: Path) -> None:
    class Refusing(Doors):
        async def call(self, call: ToolCall) -> ToolResult:
            return ToolResult("the door is stuck", is_error=True)

    with judge_server(doors("left", "right")) as server:
        outcome, backend = run(tmp_path, server.url, toolbox=Refusing(), steps=1)
    assert outcome.steps[0].numbers["components"]["executed"] == 0.0
    assert max(trajectory.reward for trajectory in backend.groups[0][0]) < 1.0


def test_a_judge_that_fails_leaves_groups_out_and_no_group_left_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k")

    def by_order(request: dict[str, Any]) -> tuple[int, str]:
        return 200, scores(dict.fromkeys(order_of(request), 0.5))

    with judge_server(doors("left", "right")) as server, judge_server(by_order) as judging:
        settings = JudgeConfig(
            base_url=judging.url,
            api_key_env="JUDGE_KEY",
            attempts=1,
            two_orders=False,
            concurrency=1,
        )
        judging.answers = [(500, "")]
        judge = Judge(settings, RlConfig().rewards, cache=tmp_path / "cache")
        outcome, backend = run(tmp_path, server.url, judge=judge, steps=1)
        assert outcome.steps[0].numbers["excluded"] == {"groups: judge failed": 1}
        assert len(backend.groups[0]) == 1
        judging.usual = (500, "")
        with pytest.raises(EngineFailed, match="failed on every group of step 1"):
            judge = Judge(settings, RlConfig().rewards, cache=tmp_path / "empty")
            run(tmp_path / "again", server.url, judge=judge, steps=1)


def test_a_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    with judge_server(doors("left", "right")) as server:
        run(tmp_path, server.url, steps=2)
        before = len(server.requests)
        (tmp_path / "records" / "0003.json").write_text(
            "half a record of a step that was not finished"
        )
        outcome, backend = run(tmp_path, server.url, steps=4)
        assert {request["model"] for request in server.requests[before:]} == {"rl@2", "rl@3"}
    assert [step.numbers["step"] for step in outcome.steps] == [1, 2, 3, 4]
    assert len(backend.groups) == 2


def test_a_model_server_that_dies_ends_the_run(tmp_path: Path) -> None:
    import openai

    with judge_server(doors("right")) as server:
        url = server.url
    with pytest.raises(openai.APIConnectionError):
        run(tmp_path, url)
