"""The agent loop over tools: the one implementation for teachers, evaluation, reinforcement
learning and serving.

A model is asked, its calls are executed (several at once), results and tool errors are fed back,
until it answers without a call or a limit is reached. Nothing is reordered: text before a call
stays before it, results are in the order of their calls.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from agent_assets.agent.tracing import span
from agent_assets.conversations.messages import (
    JsonObject,
    Message,
    ToolCall,
    ToolResult,
    ToolSchema,
    Usage,
)

T = TypeVar("T")

# A model wrote arguments that are not a JSON object: the call carries the raw text under this one
# name.
UNPARSED = "unparsed_arguments"
ERROR_PREFIX = "Error: "


class ChatModel(Protocol):
    """Anything that answers messages: a server, a teacher."""

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        """The next assistant message."""
        ...


class ToolCaller(Protocol):
    """Anything that executes a call."""

    async def call(self, call: ToolCall) -> ToolResult:
        """The result; an error of the tool is a result too."""
        ...


class StopReason(StrEnum):
    """Why a rollout ended."""

    ANSWERED = "answered"  # the model answered without another call
    MAX_TURNS = "max_turns"  # it still called tools in its last turn
    # its next calls would have been too many: they were not executed
    MAX_TOOL_CALLS = "max_tool_calls"
    # it had used its tokens and still wanted to call: the calls were not executed
    MAX_TOKENS = "max_tokens"
    TIMEOUT = "timeout"  # time ran out; the unfinished turn is left out
    TRUNCATED = "truncated"  # an answer was cut at the longest that is allowed; it is left out
    REFUSED = "refused"  # the model, or a filter of its server, refused to answer


class StopRollout(Exception):
    """A model raises it to end a rollout by name. Always handled by the loop."""

    def __init__(self, reason: StopReason) -> None:
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """Where a rollout ends at the latest.

    Args:
        max_turns: model turns.
        max_tool_calls: tool calls in all turns together.
        seconds: wall-clock time.
        max_tokens: tokens read and written in all turns together, as the server counts them; None:
            no limit.
        model_counts: waiting for the model counts as time. Not where the model itself gives up at
            some time.
    """

    max_turns: int = 6
    max_tool_calls: int = 16
    seconds: float = 120.0
    max_tokens: int | None = None
    model_counts: bool = True


@dataclass(frozen=True)
class Rollout:
    """What happened: all messages, those given first included.

    Args:
        messages: in order. Each call has its result right after the message that called, except the
            calls of the last message after `max_tool_calls` or `max_tokens`.
        stop_reason: why it ended.
        seconds: wall-clock time.
        tool_errors: calls that a tool answered with an error.
        usage: tokens of all its model turns together; None when the model does not count them.
    """

    messages: tuple[Message, ...]
    stop_reason: StopReason
    seconds: float
    tool_errors: int = 0
    usage: Usage | None = None


async def run_agent(
    model: ChatModel,
    toolbox: ToolCaller,
    messages: Sequence[Message],
    tools: Sequence[ToolSchema],
    limits: Limits,
) -> Rollout:
    """Let the model answer the messages, calling tools as it likes.

    Errors of the model or of the connection to a tool server pass through; errors that a tool
    reports are fed back.
    """
    with span("rollout", lambda: {"messages": [_plain(message) for message in messages]}) as traced:
        rollout = await _roll_out(model, toolbox, messages, tools, limits)
        traced.finish({"stop_reason": str(rollout.stop_reason), "messages": len(rollout.messages)})
    return rollout


async def _roll_out(
    model: ChatModel,
    toolbox: ToolCaller,
    messages: Sequence[Message],
    tools: Sequence[ToolSchema],
    limits: Limits,
) -> Rollout:
    history, started, errors = list(messages), time.monotonic(), 0

    def end(reason: StopReason) -> Rollout:
        seconds = time.monotonic() - started
        return Rollout(tuple(history), reason, seconds, errors, _usage(history[len(messages) :]))

    calls_left = limits.max_tool_calls
    try:
        async with asyncio.timeout(limits.seconds) as time_limit:
            for _ in range(limits.max_turns):
                with nullcontext() if limits.model_counts else _paused(time_limit):
                    reply = await model.complete(history, tools)
                if not reply.tool_calls:
                    history.append(reply)
                    return end(StopReason.ANSWERED)
                calls_left -= len(reply.tool_calls)
                over = _over(limits, calls_left, _usage([*history[len(messages) :], reply]))
                if over is not None:
                    history.append(reply)
                    return end(over)
                results = await _execute(toolbox, reply.tool_calls, tools)
                history.append(reply)
                history += [
                    _observation(call, result)
                    for call, result in zip(reply.tool_calls, results, strict=True)
                ]
                errors += sum(result.is_error for result in results)
    except StopRollout as stop:
        return end(stop.reason)
    except TimeoutError:
        if not time_limit.expired():  # somebody else's time-out
            raise
        return end(StopReason.TIMEOUT)
    return end(StopReason.MAX_TURNS)


@contextmanager
def _paused(limit: asyncio.Timeout) -> Iterator[None]:
    """A time limit that stands still inside the block."""
    clock, ends = asyncio.get_running_loop().time, limit.when()
    began = clock()
    limit.reschedule(None)
    yield
    limit.reschedule(None if ends is None else ends + clock() - began)


async def in_order(jobs: Sequence[Callable[[], Awaitable[T]]], *, concurrency: int) -> list[T]:
    """Run jobs a few at a time; results are in the order of the jobs. The first error ends the
    others.
    """
    gate = asyncio.Semaphore(concurrency)

    async def run(job: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await job()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(job)) for job in jobs]
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [task.result() for task in tasks]


async def _execute(
    toolbox: ToolCaller, calls: Sequence[ToolCall], tools: Sequence[ToolSchema]
) -> list[ToolResult]:
    offered = {tool.name for tool in tools}
    return list(await asyncio.gather(*(_call(toolbox, call, offered) for call in calls)))


async def _call(toolbox: ToolCaller, call: ToolCall, offered: set[str]) -> ToolResult:
    if call.name not in offered:
        return ToolResult(
            f"unknown tool; there are: {', '.join(sorted(offered)) or 'none'}", is_error=True
        )
    if UNPARSED in call.arguments:
        return ToolResult("the arguments are not a JSON object", is_error=True)
    with span("tool_call", lambda: {"name": call.name, "arguments": call.arguments}) as traced:
        result = await toolbox.call(call)
        traced.finish({"text": result.text, "is_error": result.is_error})
    return result


def _plain(message: Message) -> JsonObject:
    return {name: value for name, value in asdict(message).items() if value}


def _over(limits: Limits, calls_left: int, usage: Usage | None) -> StopReason | None:
    """Which limit the next calls would pass."""
    if calls_left < 0:
        return StopReason.MAX_TOOL_CALLS
    if limits.max_tokens is None or usage is None:
        return None
    return (
        StopReason.MAX_TOKENS
        if usage.prompt_tokens + usage.completion_tokens >= limits.max_tokens
        else None
    )


def _usage(turns: Sequence[Message]) -> Usage | None:
    counted = [turn.usage for turn in turns if turn.usage is not None]
    return sum(counted[1:], counted[0]) if counted else None


def _observation(call: ToolCall, result: ToolResult) -> Message:
    text = result.text
    if result.is_error and not text.startswith(ERROR_PREFIX):
        text = ERROR_PREFIX + text
    return Message("tool", text, tool_call_id=call.id)
