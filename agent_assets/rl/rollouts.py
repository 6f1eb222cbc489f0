"""Rollouts that can be learned from: the agent loop of evaluation and serving, with every sampled
token kept.

Sampling is at temperature 1, the distribution that the policy gradient is about, with a seed of its
own per request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from agent_assets.agent.chat_model import read_reply, request_body
from agent_assets.agent.loop import ChatModel, Limits, StopReason, ToolCaller, in_order, run_agent
from agent_assets.agent.tracing import span
from agent_assets.conversations.messages import JsonObject, Message, ToolSchema
from agent_assets.errors import ToolServerError
from agent_assets.rl.config import RlConfig
from agent_assets.rl.rewards import Reward, reward
from agent_assets.rl.scenarios.scenarios import Scenario
from agent_assets.text.seeds import stable_hash

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat.chat_completion import ChatCompletion, Choice

# an answer was cut at max_tokens, or the conversation does not fit the context
OVER_LENGTH = "over_length"
TOOL_SERVER_FAILED = "tool_server_failed"
UNSCORED = {
    TOOL_SERVER_FAILED: "tool server failed",
    StopReason.TIMEOUT: "timed out",
}  # the machine's fault


@dataclass(frozen=True)
class Trajectory:
    """One rollout of a scenario.

    Args:
        number: place in its group.
        messages: all of them, system prompt and question first; results of a failed tool server are
            missing.
        stop_reason: a `StopReason`, or one of this module's.
        choices: what the server sampled, one per model turn, with token ids and log-probabilities;
            empty where the engine keeps them itself.
        reward: None when a tool server failed or time ran out: that says nothing about the policy.
        tokens: tokens the model wrote.
    """

    scenario: Scenario
    number: int
    messages: tuple[Message, ...]
    stop_reason: str
    choices: tuple["Choice", ...]
    reward: Reward | None
    seconds: float = 0.0
    tool_errors: int = 0
    tokens: int = 0


class OverLength(Exception):
    """A policy raises it: the rollout ends here, what it would say next does not fit."""


class Policy(ChatModel, Protocol):
    """A chat model that samples and keeps what it sampled; one per rollout."""

    history: tuple[Message, ...]

    @property
    def choices(self) -> Sequence["Choice"]:
        """What was sampled, as `Trajectory` has it."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        ...


@dataclass
class ServedPolicy:
    """The policy behind an OpenAI-compatible server; see `InferenceServer` for `extra_body` and
    `is_over_length`.
    """

    client: "AsyncOpenAI"
    model: str
    max_tokens: int
    seed: int
    extra_body: Mapping[str, bool]
    is_over_length: Callable[[str], bool]
    choices: list["Choice"] = field(default_factory=list)
    history: tuple[Message, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        return sum(
            len(choice.logprobs.content or ())
            for choice in self.choices
            if choice.logprobs is not None
        )

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The next assistant message, sampled."""
        from openai import BadRequestError

        self.history = tuple(messages)
        body = request_body(messages, tools) | {
            "model": self.model,
            "temperature": 1.0,
            "max_tokens": self.max_tokens,
            "seed": stable_hash(self.seed, len(self.choices)) % 2**31,
        }
        try:
            with span("llm_call", lambda: body) as traced:
                reply = await self.client.chat.completions.create(
                    logprobs=True, extra_body=self.extra_body, **body
                )
                traced.finish(_said(reply))
        except BadRequestError as error:
            if self.is_over_length(str(error)):
                raise OverLength from None
            raise
        choice = reply.choices[0]
        # Token ids are beside the choices; the trainer wants them with what was sampled.
        choice.prompt_token_ids = (reply.model_extra or {}).get("prompt_token_ids")  # type: ignore[attr-defined]
        self.choices.append(choice)
        message = read_reply(choice)
        self.history = (*messages, message)
        if choice.finish_reason == "length":
            raise OverLength
        return message


def _said(reply: "ChatCompletion") -> JsonObject:
    """A reply as traces keep it: without the probability and the id of each token."""
    choices = [
        {
            "message": choice.message.model_dump(exclude_none=True),
            "finish_reason": choice.finish_reason,
        }
        for choice in reply.choices
    ]
    return {"choices": choices, "usage": reply.usage and reply.usage.model_dump(exclude_none=True)}


async def roll_out(
    policy: Policy,
    toolbox: ToolCaller,
    tools: Sequence[ToolSchema],
    scenario: Scenario,
    number: int,
    config: RlConfig,
) -> Trajectory:
    """One rollout, scored. Errors of the policy pass through.

    Args:
        policy: fresh; what it sampled ends in the trajectory.
        number: place in the group.
    """
    item = scenario.item
    first = [Message("system", item.system)] if item.system else []
    offered = () if item.kind == "recall_closed" else tools
    seconds, errors = 0.0, 0
    try:
        limits = Limits(max_turns=config.max_turns, seconds=config.rollout_seconds)
        rollout = await run_agent(
            policy, toolbox, [*first, Message("user", item.question)], offered, limits
        )
        messages, reason, seconds, errors = (
            rollout.messages,
            str(rollout.stop_reason),
            rollout.seconds,
            rollout.tool_errors,
        )
    except OverLength:
        messages, reason = policy.history, OVER_LENGTH
    except ToolServerError:  # counted by the caller, which stops when there are too many
        messages, reason = policy.history, TOOL_SERVER_FAILED
    earned = None if reason in UNSCORED else reward(item, messages, reason, offered, config.rewards)
    choices = tuple(policy.choices)
    return Trajectory(
        scenario, number, messages, reason, choices, earned, seconds, errors, policy.tokens
    )


async def roll_out_groups(
    client: "AsyncOpenAI",
    model: str,
    toolbox: ToolCaller,
    tools: Sequence[ToolSchema],
    scenarios: Sequence[Scenario],
    config: RlConfig,
    *,
    step: int,
    extra_body: Mapping[str, bool],
    is_over_length: Callable[[str], bool],
) -> list[list[Trajectory]]:
    """A group of rollouts per scenario, in the order of the scenarios; a few at a time.

    Raises:
        openai.OpenAIError: the inference server failed.
    """

    def policy(scenario: Scenario, number: int) -> ServedPolicy:
        seed = stable_hash("rollout", config.seed, step, scenario.item.id, number)
        return ServedPolicy(client, model, config.max_tokens, seed, extra_body, is_over_length)

    jobs = [
        partial(roll_out, policy(scenario, number), toolbox, tools, scenario, number, config)
        for scenario in scenarios
        for number in range(config.rollouts_per_scenario)
    ]
    done = await in_order(jobs, concurrency=config.concurrency)
    size = config.rollouts_per_scenario
    return [done[start : start + size] for start in range(0, len(done), size)]
