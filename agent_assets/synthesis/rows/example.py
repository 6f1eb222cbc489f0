"""One question, answered by a teacher over the real tool servers, and every reason not to train on
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from agent_assets.agent.loop import ChatModel, Limits, Rollout, StopReason, run_agent
from agent_assets.conversations.messages import Message, ToolCall, ToolSchema
from agent_assets.conversations.tools import in_parameter_order
from agent_assets.conversations.validation import Rejection
from agent_assets.synthesis.rows.checks import Rules, approximate_tokens, rejections, replay
from agent_assets.synthesis.tasks.task import Task, Tools
from agent_assets.text.answers import final_answer, offered_ids


@dataclass(frozen=True)
class Example:
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
        return final_answer(self.messages)

    @property
    def sources(self) -> list[str]:
        """Ids of all memories whose text is in the messages, sorted."""
        return sorted({*self.task.memory_ids, *offered_ids(self.messages)})

    @cached_property
    def tokens(self) -> int:
        """About how many tokens the messages have."""
        return approximate_tokens(self.messages)


async def run_task(
    task: Task, teacher: ChatModel, toolbox: Tools, *, limits: Limits, rules: Rules
) -> Example:
    """Ask the teacher, and check what came of it."""
    first = [Message("system", task.system)] if task.system else []
    messages = [*first, Message("user", task.question.text)]
    rollout = await run_agent(teacher, toolbox, messages, task.tools, limits)
    reasons = rejections(task, rollout, rules)
    return Example(
        task,
        in_tool_order(rollout.messages[len(first) :], task.tools),
        tuple(dict.fromkeys(reasons)),
    )


async def replayed(example: Example, toolbox: Tools, *, rules: Rules) -> Example:
    """The example, rejected if what only reads now answers otherwise. After all others were made: a
    clock, a counter or a time of last access has moved by then.
    """
    if example.rejections or not rules.replay:
        return example
    return replace(
        example, rejections=tuple(await replay(example.messages, toolbox, rules.read_only))
    )


def told_example(task: Task, rules: Rules) -> Example:
    """A task without tools as its script answers it: there is nothing to roll out, and elders have
    many of these.
    """
    first = (Message("system", task.system),) if task.system else ()
    example = (Message("user", task.question.text), Message("assistant", task.script.answer(())))
    rollout = Rollout(first + example, StopReason.ANSWERED, seconds=0.0)
    return Example(task, example, tuple(dict.fromkeys(rejections(task, rollout, rules))))


def in_tool_order(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> tuple[Message, ...]:
    """The messages with the arguments of calls as the tools list them: one order for a model to
    learn.
    """
    schemas = {tool.name: tool.parameters for tool in tools}
    ordered = []
    for message in messages:
        calls = tuple(
            replace(call, arguments=in_parameter_order(call.arguments, schemas.get(call.name, {})))
            for call in message.tool_calls
        )
        ordered.append(replace(message, tool_calls=calls))
    return tuple(ordered)
