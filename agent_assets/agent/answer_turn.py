"""One answer to what was said: the same for `/chat`, for exams and for evaluation.

What is judged is what answers, so everything that decides how an agent answers one message is here
and in `serving_settings.AnswerConfig`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agent_assets.agent.chat_model import OpenAIChatModel
from agent_assets.agent.loop import (
    ChatModel,
    Limits,
    Rollout,
    StopReason,
    ToolCaller,
    run_agent,
)
from agent_assets.conversations.messages import JsonObject, Message, ToolSchema

if TYPE_CHECKING:
    import httpx


async def answer_turn(
    model: ChatModel,
    tools: ToolCaller,
    messages: Sequence[Message],
    schemas: Sequence[ToolSchema],
    limits: Limits,
) -> Rollout:
    """The agent loop within the limits of one answer. When no more calls are allowed, it answers
    from what was found so far.
    """
    rollout = await run_agent(model, tools, messages, schemas, limits)
    if rollout.stop_reason not in (StopReason.MAX_TURNS, StopReason.MAX_TOOL_CALLS):
        return rollout
    history = list(rollout.messages)
    if history[-1].role == "assistant":
        history.pop()  # calls that were not executed
    last_turn = replace(limits, max_turns=1, max_tool_calls=0)
    last = await run_agent(model, tools, history, (), last_turn)
    usage = None if rollout.usage is None or last.usage is None else rollout.usage + last.usage
    seconds = rollout.seconds + last.seconds
    return Rollout(last.messages, rollout.stop_reason, seconds, rollout.tool_errors, usage)


def recent_messages(history: Sequence[Message], max_history: int) -> list[Message]:
    """The last `max_history` of the earlier messages."""
    return list(history)[-max_history:] if max_history else []


def conversation(system: str, recent: Sequence[Message], message: str) -> list[Message]:
    """What the model is asked: the system prompt ("" for none), earlier messages, the message."""
    prompt = [Message("system", system)] if system else []
    return [*prompt, *recent, Message("user", message)]


def answering_model(
    base_url: str,
    model: str,
    *,
    max_tokens: int,
    timeout_s: float,
    max_retries: int = 2,
    api_key: str = "local",
    http_client: "httpx.AsyncClient | None" = None,
    extra_body: JsonObject | None = None,
) -> OpenAIChatModel:
    """The model as agents answer with it: the most likely answer, of at most `max_tokens` a turn.

    Args:
        base_url: ends in `/v1`.
        model: as the server lists it, of an agent the content name of its adapter.
        timeout_s: longest wait for one turn.
        max_retries: how often what failed on the way is tried again.
        http_client: connections shared with others; None makes some.
        extra_body: further fields of every request.
    """
    return OpenAIChatModel(
        base_url=base_url,
        api_key=api_key,
        model=model,
        temperature=0.0,
        max_tokens=max_tokens,
        timeout_s=timeout_s,
        max_retries=max_retries,
        http_client=http_client,
        extra_body=extra_body,
    )
