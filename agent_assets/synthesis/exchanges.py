"""One question, answered by a teacher over the real tool servers, and every reason not to train on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from string import ascii_letters, digits, whitespace
from typing import Protocol

from agent_assets.conversations.messages import Conversation, Message, ToolCall, ToolResult, ToolSchema, canonical_json
from agent_assets.conversations.tools import in_parameter_order
from agent_assets.conversations.validation import Rejection, RejectReason, validate_conversation
from agent_assets.evaluation.answers import offered_ids
from agent_assets.evaluation.items import ItemKind
from agent_assets.synthesis.agent_loop import ChatModel, Limits, Rollout, StopReason, run_agent
from agent_assets.synthesis.answer_texts import numbers, read_result
from agent_assets.synthesis.question_files import Question
from agent_assets.synthesis.scripted_teacher import Script

_DIGITS = digits.encode()
_NO_SIGNS = (ascii_letters + digits + whitespace).encode()


class Tools(Protocol):
    """What rows are made with: a toolbox that knows which of its tools only read."""

    annotations: dict[str, dict[str, bool]]

    async def call(self, call: ToolCall) -> ToolResult:
        """Execute a call."""
        ...


@dataclass(frozen=True)
class Task:
    """One question as it is asked.

    Args:
        question: with its final text and gold calls.
        kind: what it trains or tests.
        system: system prompt, "" for none.
        tools: what is offered; empty for closed-book questions.
        script: what the scripted teacher does.
        memory_ids: memories a right answer rests on. With tools, their results must hold them.
        needs_result: an empty result is a rejection.
        told: text the answer may rest on besides results and question.
    """

    question: Question
    kind: ItemKind
    system: str
    tools: tuple[ToolSchema, ...]
    script: Script
    memory_ids: tuple[str, ...] = ()
    needs_result: bool = False
    told: str = ""


@dataclass(frozen=True)
class Exchange:
    """A task as it went: the messages after the system prompt, and why it is rejected, if it is."""

    task: Task
    messages: tuple[Message, ...]
    rejections: tuple[Rejection, ...]

    @property
    def calls(self) -> list[ToolCall]:
        """Every tool call, in order."""
        return [call for message in self.messages for call in message.tool_calls]

    @property
    def results(self) -> list[str]:
        """Every tool result, in order."""
        return [message.content for message in self.messages if message.role == "tool"]

    @property
    def answer(self) -> str:
        """The final text, "" when there is none."""
        last = self.messages[-1]
        return "" if last.role != "assistant" or last.tool_calls else last.content

    @property
    def sources(self) -> list[str]:
        """Ids of all memories whose text stands in the messages, sorted."""
        return sorted({*self.task.memory_ids, *offered_ids(self.messages)})

    @cached_property
    def tokens(self) -> int:
        """About how many tokens the messages have."""
        return approximate_tokens(self.messages)


async def run_task(
    task: Task, teacher: ChatModel, toolbox: Tools, *, limits: Limits, replay: bool, max_tokens: int
) -> Exchange:
    """Ask the teacher, and check what came of it."""
    first = [Message("system", task.system)] if task.system else []
    asked = [*first, Message("user", task.question.text)]
    rollout = await run_agent(teacher, toolbox, asked, task.tools, limits)
    found = list(_rejections(task, rollout, max_tokens=max_tokens))
    if replay and not found:
        found += await _replay(rollout.messages, toolbox)
    return Exchange(task, _in_order(rollout.messages[len(first) :], task.tools), tuple(dict.fromkeys(found)))


def told_exchange(task: Task, *, max_tokens: int) -> Exchange:
    """A task without tools as its script answers it: there is nothing to roll out, and elders have many of these."""
    first = (Message("system", task.system),) if task.system else ()
    exchange = (Message("user", task.question.text), Message("assistant", task.script.answer(())))
    rollout = Rollout(first + exchange, StopReason.ANSWERED, seconds=0.0)
    return Exchange(task, exchange, tuple(dict.fromkeys(_rejections(task, rollout, max_tokens=max_tokens))))


def approximate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens messages have in a small model's vocabulary, template included.

    A digit or a sign is about one token, a Chinese character two, other letters a quarter.
    """
    calls = [call for message in messages for call in message.tool_calls]
    texts = [message.content for message in messages] + [canonical_json(call.arguments) for call in calls]
    text = "".join(texts)
    ascii_text = text.encode("ascii", "ignore")
    others = len(text) - len(ascii_text)
    numerals = len(ascii_text) - len(ascii_text.translate(None, _DIGITS))
    signs = len(ascii_text.translate(None, _NO_SIGNS))
    results = sum(message.role == "tool" for message in messages)
    frame = 6 * len(messages) + 26 * len(calls) + 8 * results
    return round(numerals + 2 * others + 0.8 * signs + (len(text) - numerals - others - signs) / 4.2) + frame


def _rejections(task: Task, rollout: Rollout, *, max_tokens: int) -> list[Rejection]:
    if rollout.stop_reason is not StopReason.ANSWERED:
        return [Rejection(RejectReason.TEACHER_FAILED, f"the rollout ended with {rollout.stop_reason}")]
    messages = rollout.messages
    results = [message.content for message in messages if message.role == "tool"]
    if rollout.tool_errors:
        return [Rejection(RejectReason.OBSERVATION_IS_ERROR, f"{rollout.tool_errors} of {len(results)} results")]
    found: list[Rejection] = []
    calls = [call for message in messages for call in message.tool_calls]
    if _multiset(calls) != sorted(canonical_json(call) for call in task.script.calls):
        found.append(Rejection(RejectReason.TEACHER_FAILED, "other calls than those that answer the question"))
    empty = [not read_result(result) for result in results]
    if task.kind == "abstention" and not all(empty):
        found.append(Rejection(RejectReason.UNEXPECTED_RESULT, "something was found"))
    missing = set(task.memory_ids) - offered_ids(messages) if task.tools else set()
    if missing or (task.needs_result and any(empty)):
        found.append(Rejection(RejectReason.NO_RESULT, f"{len(missing)} memories missing of {len(task.memory_ids)}"))
    found += validate_conversation(Conversation(messages, task.tools), max_chars=8 * max_tokens)
    size = approximate_tokens(messages)
    if size > max_tokens:
        found.append(Rejection(RejectReason.TOO_LONG, f"about {size} tokens, {max_tokens} allowed"))
    invented = numbers(messages[-1].content)
    if invented:
        invented -= numbers(" ".join([*results, task.question.text, task.told, *task.memory_ids]))
    if invented:
        found.append(Rejection(RejectReason.NOT_GROUNDED, f"{len(invented)} numbers stand in no result"))
    return found


def _in_order(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> tuple[Message, ...]:
    """The messages with the arguments of calls as the tools list them: one order for a model to learn."""
    schemas = {tool.name: tool.parameters for tool in tools}
    ordered = []
    for message in messages:
        calls = tuple(
            replace(call, arguments=in_parameter_order(call.arguments, schemas.get(call.name, {})))
            for call in message.tool_calls
        )
        ordered.append(replace(message, tool_calls=calls))
    return tuple(ordered)


async def _replay(messages: Sequence[Message], toolbox: Tools) -> list[Rejection]:
    """Call what only reads once more: rows must not teach what changes by itself."""
    results: Mapping[str | None, str] = {
        message.tool_call_id: message.content for message in messages if message.role == "tool"
    }
    found = []
    for message in messages:
        for call in message.tool_calls:
            if toolbox.annotations.get(call.name, {}).get("read_only"):
                again = await toolbox.call(call)
                if again.text != results[call.id]:
                    found.append(Rejection(RejectReason.OBSERVATION_DIFFERS, call.name))
    return found


def _multiset(calls: Sequence[ToolCall]) -> list[str]:
    return sorted(canonical_json({"name": call.name, "arguments": call.arguments}) for call in calls)
