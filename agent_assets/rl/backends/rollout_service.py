"""Tools, rewards and records for rollouts that another process samples: what ms-swift GRPO asks
this process for.

The engine environment has no MCP client and not our rewards, and it must not know the elder's
memories beyond what a tool returned. So the tool servers stay here, bound to the elder, and the
agent loop, too: it is the one of evaluation and serving, with the sampled turns coming in through a
socket. The socket is a file that only this user can open; a request (`engines/rl_contracts.py`) is
one line of JSON on a connection of its own, and so is its answer.

An answer with "failed" means that the run has ended; the reason stays here (see
`RolloutService.failed`).
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.agent.loop import ToolCaller
from agent_assets.agent.tool_call_parser import read_text
from agent_assets.conversations.markers import without_markers
from agent_assets.conversations.messages import JsonObject, Message, ToolSchema, canonical_json
from agent_assets.engines.codec import decode, encode
from agent_assets.engines.rl_contracts import (
    LONGEST_LINE,
    REQUESTS,
    BeginReply,
    ScoreReply,
    ScoreRequest,
    TrainedReply,
    TrainedRequest,
    TurnReply,
    TurnRequest,
)
from agent_assets.errors import EngineFailed
from agent_assets.rl.config import RlConfig
from agent_assets.rl.early_stopping import no_signal, progress_message, reached
from agent_assets.rl.records import TrainingStep, describe_step, total, write_step
from agent_assets.rl.rollouts import OverLength, Trajectory, roll_out
from agent_assets.rl.scenarios.scenarios import Scenario
from agent_assets.rl.scoring import Scoring

if TYPE_CHECKING:
    from openai.types.chat.chat_completion import Choice

SOCKET = "rollouts"


@dataclass(frozen=True)
class SampledTurn:
    """What a model wrote in one turn; `cut` at its length limit."""

    text: str
    tokens: int
    cut: bool


@dataclass
class SocketPolicy:
    """A policy whose turns are sampled elsewhere: `complete` waits until one comes in."""

    turns: "asyncio.Queue[SampledTurn]" = field(default_factory=asyncio.Queue)
    prompts: "asyncio.Queue[Sequence[Message]]" = field(default_factory=asyncio.Queue)
    history: tuple[Message, ...] = ()
    choices: Sequence["Choice"] = ()
    tokens: int = 0
    turn: int = 0

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The next assistant message, read from the text that was sampled."""
        self.history = tuple(messages)
        await self.prompts.put(messages)
        sampled = await self.turns.get()
        self.turn += 1
        self.tokens += sampled.tokens
        message = read_text(sampled.text, turn=self.turn)
        self.history = (*messages, message)
        if sampled.cut:
            raise OverLength
        return message


@dataclass
class _Live:
    """A rollout that goes on. `shown` counts the messages that the other side has, or has
    sampled.
    """

    policy: SocketPolicy
    task: "asyncio.Task[Trajectory]"
    shown: int


class RolloutService:
    """Answers the requests of one training.

    Args:
        plan: the scenario of every group, step by step.
        steps: records of the steps that are done; grows.
        records: folder of the step records.
        report: takes a progress message after every step.
    """

    def __init__(
        self,
        config: RlConfig,
        plan: Sequence[Scenario],
        scoring: Scoring,
        toolbox: ToolCaller,
        *,
        steps: list[TrainingStep],
        records: Path,
        report: Callable[[Mapping[str, object]], None],
    ) -> None:
        self._config, self._plan, self._scoring, self._toolbox = config, plan, scoring, toolbox
        self._steps, self._records, self._report = steps, records, report
        self._live: dict[str, _Live] = {}
        self._entry: TrainingStep | None = None
        self._rollouts_began: float | None = None
        self._training_began = 0.0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Path]:
        """Answer requests during the block; the path of the socket."""
        # Mode 0700; socket paths must be short
        with tempfile.TemporaryDirectory(prefix="agent-assets-") as folder:
            path = Path(folder) / SOCKET
            server = await asyncio.start_unix_server(self._connected, path, limit=LONGEST_LINE)
            try:
                yield path
            finally:
                server.close()
                for live in self._live.values():
                    live.task.cancel()
                await asyncio.gather(
                    *(live.task for live in self._live.values()), return_exceptions=True
                )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line.endswith(b"\n"):  # else the engine died while it wrote
            answering = asyncio.create_task(self._answer(json.loads(line)))
            await asyncio.wait({answering})
            error = answering.exception()
            # It ends the run; the other side only learns that
            if error is not None and not self.failed.done():
                self.failed.set_exception(error)
            writer.write(
                canonical_json({"failed": True} if error else encode(answering.result())).encode()
                + b"\n"
            )
            with suppress(ConnectionError):  # it died meanwhile
                await writer.drain()
        writer.close()

    async def _answer(self, message: JsonObject) -> object:
        """The reply to one request, as a dataclass."""
        kind = REQUESTS.get(str(message.get("op")))
        if kind is None:
            raise EngineFailed(
                f"The engine asked for '{message.get('op')}'.", next_step="report this as a bug."
            )
        request = decode(kind, message, program=self._config.engine)
        if isinstance(request, TurnRequest):
            return await self._turn(request)
        if isinstance(request, ScoreRequest):
            return ScoreReply(await self._score(request.step, request.rollouts))
        if isinstance(request, TrainedRequest):
            return TrainedReply(self._trained(request.step, request.metrics))
        if self._rollouts_began is None:
            self._rollouts_began = time.monotonic()
        return BeginReply()

    async def _turn(self, request: TurnRequest) -> TurnReply:
        """Feed one sampled turn; what the tools answered, once the model is asked again."""
        if request.rollout not in self._live:
            self._live[request.rollout] = await self._start(request.scenario)
        live = self._live[request.rollout]
        await live.policy.turns.put(SampledTurn(request.text, request.tokens, request.cut))
        messages = await _asked(live)
        if messages is None:
            live.task.result()  # an error that is nobody's rollout ends the run
            return TurnReply(done=True, messages=[])
        new = [without_markers(message) for message in messages[live.shown + 1 :]]  # after the turn
        live.shown = len(messages)
        return TurnReply(
            done=False,
            messages=[{"role": message.role, "content": message.content} for message in new],
        )

    async def _start(self, place: int) -> _Live:
        policy = SocketPolicy()
        rollout = roll_out(
            policy, self._toolbox, self._scoring.tools, self._plan[place], 0, self._config
        )
        live = _Live(policy, asyncio.create_task(rollout), 0)
        live.shown = len(await _asked(live) or ())
        return live

    async def _score(self, step: int, rollouts: Sequence[str]) -> list[float]:
        """Reward of every rollout. One that is left out gets the mean of its group: an advantage of
        nothing.
        """
        trajectories = [await self._ended(rollout) for rollout in rollouts]
        size = self._config.rollouts_per_scenario
        groups = [
            [
                replace(trajectory, number=number)
                for number, trajectory in enumerate(trajectories[start : start + size])
            ]
            for start in range(0, len(trajectories), size)
        ]
        scored_groups, excluded = await self._scoring.keep(groups, step)
        assert self._rollouts_began is not None, "rollouts begin before they are scored"
        seconds = time.monotonic() - self._rollouts_began
        self._live, self._rollouts_began = {}, None
        self._entry = describe_step(
            step, [group for group in scored_groups if group], excluded, seconds
        )
        write_step(self._records, self._entry)
        self._training_began = time.monotonic()
        return [
            reward
            for group, scored in zip(groups, scored_groups, strict=True)
            for reward in _rewards(group, scored)
        ]

    async def _ended(self, rollout: str) -> Trajectory:
        """The trajectory of a rollout that gets no further turn; one that waits for one would not
        fit the context.
        """
        live = self._live[rollout]
        if not live.task.done():
            await live.policy.turns.put(SampledTurn("", 0, cut=True))
        return await live.task

    def _trained(self, step: int, metrics: dict[str, float]) -> bool:
        assert self._entry is not None and self._entry.numbers["step"] == step, (
            "a step is scored before it is trained"
        )
        self._entry.numbers["train"] = metrics
        self._entry.numbers["train_seconds"] = round(time.monotonic() - self._training_began, 2)
        write_step(self._records, self._entry)
        self._steps.append(self._entry)
        self._report(progress_message(self._steps, self._config))
        return no_signal(self._steps, self._config) is not None or reached(
            self._steps, self._config
        )


async def _asked(live: _Live) -> Sequence[Message] | None:
    """The messages that the policy is asked to go on from; None when the rollout has ended."""
    prompt = asyncio.ensure_future(live.policy.prompts.get())
    await asyncio.wait({prompt, live.task}, return_when=asyncio.FIRST_COMPLETED)
    if prompt.done():
        return prompt.result()
    prompt.cancel()
    return None


def _rewards(group: Sequence[Trajectory], scored: Sequence[Trajectory]) -> list[float]:
    rewards = {trajectory.number: total(trajectory) for trajectory in scored}
    mean = statistics.fmean(rewards.values()) if rewards else 0.0
    return [rewards.get(trajectory.number, mean) for trajectory in group]
