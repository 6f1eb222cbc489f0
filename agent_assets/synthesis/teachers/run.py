"""Every task put to a teacher, a few at a time, and what came of it in the order of the tasks."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from agent_assets.agent.loop import ChatModel, Limits, StopReason, in_order
from agent_assets.conversations.messages import Message, ToolCall, ToolResult
from agent_assets.conversations.validation import Rejection, RejectReason
from agent_assets.errors import ConfigError, LlmUnavailable, ToolServerError
from agent_assets.llm.client import LlmClient
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.rows.checks import Rules
from agent_assets.synthesis.rows.example import Example, replayed, run_task, told_example
from agent_assets.synthesis.rows.failing_tools import reject_failures
from agent_assets.synthesis.tasks.task import Task, Tools
from agent_assets.synthesis.teachers.journal import MAX_DEATHS, Journal
from agent_assets.synthesis.teachers.llm import LlmTeacher
from agent_assets.synthesis.teachers.scripted import ScriptedTeacher


@dataclass(frozen=True)
class LlmTeaching:
    """A language model that teaches, and what it has finished."""

    client: LlmClient
    journal: Journal


class SafeTools:
    """The tools without those that may change things: a call of one is an error that a model can
    read, and reaches no server.
    """

    def __init__(self, toolbox: Tools, forbidden: Collection[str]) -> None:
        self._toolbox, self._forbidden = toolbox, frozenset(forbidden)
        self.annotations = toolbox.annotations

    async def call(self, call: ToolCall) -> ToolResult:
        """Execute a call that is allowed."""
        if call.name in self._forbidden:
            return ToolResult("this tool may not be called here", is_error=True)
        return await self._toolbox.call(call)


def forbidden_tools(toolbox: Tools, config: RowsConfig) -> frozenset[str]:
    """Tools that may change things (a server that says nothing says no less), and that the
    configuration does not allow.
    """
    changing = {
        name
        for name, annotations in toolbox.annotations.items()
        if not (annotations.get("read_only") or annotations.get("allowed"))
    }
    return frozenset(changing - {*config.read_only_tools, *config.allow_writing})


async def teach(
    tasks: Sequence[Task],
    toolbox: Tools,
    config: RowsConfig,
    *,
    persona: bool,
    llm: LlmTeaching | None = None,
    teacher: ChatModel | None = None,
) -> list[Example]:
    """All examples; a text asked before in the same way is rejected, and so is what would call a
    forbidden tool.

    Args:
        persona: the agent speaks as an elder.
        llm: a language model; without it, `teacher` does what the tasks' scripts say.
        teacher: None is the scripted one.

    Raises:
        ToolServerError: a server failed.
        LlmError: the language model cannot be asked, or time ran out; what is finished is in the
            journal.
    """
    first, repeated = _first_asked(tasks)
    forbidden = forbidden_tools(toolbox, config)
    safe = SafeTools(toolbox, forbidden)
    rules = rules_of(config, by_script=llm is None)
    known = {
        id(task): told_example(task, rules) for task in first if not task.tools and teacher is None
    }
    known |= {
        id(task): _refused(task, RejectReason.WRITES, "its tool")
        for task in first
        if _calls(task) & forbidden
    }
    unanswered = [task for task in first if id(task) not in known]
    limits = Limits(
        config.max_turns,
        config.max_tool_calls,
        config.question_seconds,
        config.max_question_tokens,
        # An outage is for the client to end (`llm.give_up_s`): it is no reason to leave questions
        # out.
        model_counts=llm is None,
    )
    if llm is None:
        scripts = {(task.question.text, bool(task.tools)): task.script for task in reversed(tasks)}
        run = partial(
            run_task,
            teacher=teacher or ScriptedTeacher(scripts),
            toolbox=safe,
            limits=limits,
            rules=rules,
        )
    else:
        languages = {task.question.text: task.question.language for task in tasks}
        model = LlmTeacher(
            llm.client, languages, persona=persona, keep_reasoning=config.keep_reasoning
        )
        run = partial(
            _resume, journal=llm.journal, teacher=model, toolbox=safe, limits=limits, rules=rules
        )
        # Where a tool server died before, the cause is found by asking alone.
        suspects = [task for task in unanswered if llm.journal.deaths(task)]
        await in_order([partial(run, task) for task in suspects], concurrency=1)
    rolled_out = await in_order(
        [partial(run, task) for task in unanswered], concurrency=config.concurrency
    )
    late = sum(map(_ran_out_of_time, rolled_out))
    if llm is not None and late:
        raise LlmUnavailable(
            f"{late} of {len(unanswered)} questions ran out of time: their tools took longer than "
            f"train_jsonl.question_seconds ({config.question_seconds:g}).",
            next_step="materialize again (what is finished is kept), or raise "
            "train_jsonl.question_seconds in "
            "defs.yaml (answers are kept).",
        )
    journal = None if llm is None else llm.journal
    again = [
        partial(_again, example, toolbox=safe, rules=rules, journal=journal)
        for example in reject_failures(rolled_out)
    ]
    checked = iter(await in_order(again, concurrency=config.concurrency))
    examples = [known[id(task)] if id(task) in known else next(checked) for task in first]
    return examples + [
        _refused(task, RejectReason.DUPLICATE, "this question is asked before") for task in repeated
    ]


async def _resume(
    task: Task,
    *,
    journal: Journal,
    teacher: ChatModel,
    toolbox: Tools,
    limits: Limits,
    rules: Rules,
) -> Example:
    """The example of the journal, or a new one, which is kept unless it was the time that ran
    out.
    """
    if journal.deaths(task) >= MAX_DEATHS:
        return _refused(
            task, RejectReason.TOOL_SERVER_FAILED, f"a tool server died {MAX_DEATHS} times on it"
        )
    done = journal.find(task)
    if done is not None:
        return done
    try:
        example = await run_task(task, teacher, toolbox, limits=limits, rules=rules)
    except ToolServerError:
        journal.died(task)
        raise
    if not _ran_out_of_time(example):
        journal.keep(example)
    return example


def _ran_out_of_time(example: Example) -> bool:
    return any(
        rejection.reason is RejectReason.TEACHER_FAILED
        and rejection.detail.endswith(StopReason.TIMEOUT)
        for rejection in example.rejections
    )


async def _again(
    example: Example, *, toolbox: Tools, rules: Rules, journal: Journal | None
) -> Example:
    try:
        return await replayed(example, toolbox, rules=rules)
    except ToolServerError:
        if journal is not None:
            journal.died(example.task)
        raise


def rules_of(config: RowsConfig, *, by_script: bool) -> Rules:
    """What examples are held to.

    Raises:
        ConfigError: a banned pattern is no regular expression.
    """
    try:
        banned = tuple(re.compile(pattern) for pattern in config.banned)
    except re.error as error:
        raise ConfigError(
            f"A pattern of train_jsonl.banned is wrong: {error}.",
            next_step="correct it in defs.yaml.",
        ) from None
    own_words = None if by_script else config.min_own_words
    return Rules(
        config.max_row_tokens, config.replay, frozenset(config.read_only_tools), banned, own_words
    )


def _first_asked(tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    seen_keys: set[tuple[str, bool]] = set()
    first: list[Task] = []
    repeated: list[Task] = []
    for task in tasks:
        key = (task.question.text, bool(task.tools))
        (repeated if key in seen_keys else first).append(task)
        seen_keys.add(key)
    return first, repeated


def _calls(task: Task) -> set[str]:
    return {call["name"] for call in task.question.gold_calls}


def _refused(task: Task, reason: RejectReason, detail: str) -> Example:
    """A task that was not asked."""
    return Example(task, (Message("user", task.question.text),), (Rejection(reason, detail),))
