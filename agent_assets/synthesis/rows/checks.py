"""Every reason not to train on an example that only synthesis can see: see docs/training-data.md
for the codes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_assets.agent.loop import Rollout, StopReason
from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolCall,
    canonical_json,
)
from agent_assets.conversations.reasoning import spoken
from agent_assets.conversations.validation import Rejection, RejectReason, validate_conversation
from agent_assets.synthesis.tasks.task import Task, Tools
from agent_assets.text.answers import cited_ids, offered_ids, recall_share, says_never_told
from agent_assets.text.failures import CalledTool, says_failure
from agent_assets.text.grounding import Evidence, contradictions, not_grounded
from agent_assets.text.languages.rules import LanguageCode
from agent_assets.text.numbers import written_numbers
from agent_assets.text.own_words import memories_in, read_result
from agent_assets.text.token_counts import approximate_text_tokens


@dataclass(frozen=True)
class Rules:
    """What an example is held to.

    Args:
        max_tokens: approximate tokens; a longer example is rejected, never cut.
        replay: read-only tools are called again, and have to answer the same.
        read_only: tools that only read, although their server does not say so.
        banned: patterns that must occur nowhere.
        min_own_words: share of an answer's words that its memory must hold; None for the scripted
            teacher, whose calls have to be those of the script instead.
    """

    max_tokens: int
    replay: bool = True
    read_only: frozenset[str] = frozenset()
    banned: tuple[re.Pattern[str], ...] = ()
    min_own_words: float | None = None


def rejections(task: Task, rollout: Rollout, rules: Rules) -> list[Rejection]:
    """Why a rollout cannot become training data or a held-out item; empty when it can."""
    if rollout.stop_reason is not StopReason.ANSWERED:
        return [
            Rejection(RejectReason.TEACHER_FAILED, f"the rollout ended with {rollout.stop_reason}")
        ]
    messages = tuple(map(spoken, rollout.messages))
    results = [message.content for message in messages if message.role == "tool"]
    calls = [call for message in messages for call in message.tool_calls]
    errors = max(rollout.tool_errors, failing_results(calls, messages))
    if errors:
        return [Rejection(RejectReason.OBSERVATION_IS_ERROR, f"{errors} of {len(results)} results")]
    reasons = _wrong_calls(task, calls, rules) + _wrong_results(task, messages, results)
    reasons += validate_conversation(
        Conversation(messages, task.tools), max_chars=8 * rules.max_tokens
    )
    reasons += size_and_bans(rollout.messages, rules)
    if task.tools:
        reasons += _wrong_answer(task, messages, results, rules)
    else:
        reasons += _invented_numbers(task, messages[-1].content)
    return reasons


def size_and_bans(messages: Sequence[Message], rules: Rules) -> list[Rejection]:
    """Whether messages are too long, and which banned patterns occur in them."""
    size = approximate_tokens(messages)
    reasons = _banned(messages, rules.banned)
    if size > rules.max_tokens:
        detail = f"about {size} tokens, {rules.max_tokens} allowed"
        reasons.insert(0, Rejection(RejectReason.TOO_LONG, detail))
    return reasons


async def replay(
    messages: Sequence[Message], toolbox: Tools, read_only: frozenset[str]
) -> list[Rejection]:
    """Call what only reads once more: rows must not teach what changes on its own."""
    results: Mapping[str | None, str] = {
        message.tool_call_id: message.content for message in messages if message.role == "tool"
    }
    differing = []
    for message in messages:
        for call in message.tool_calls:
            if call.name in read_only or toolbox.annotations.get(call.name, {}).get("read_only"):
                again = await toolbox.call(call)
                if again.text != results[call.id]:
                    differing.append(Rejection(RejectReason.OBSERVATION_DIFFERS, call.name))
    return differing


def approximate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens messages have in a small model's vocabulary, template included."""
    calls = [call for message in messages for call in message.tool_calls]
    texts = [message.content for message in messages] + [
        canonical_json(call.arguments) for call in calls
    ]
    results = sum(message.role == "tool" for message in messages)
    frame = 6 * len(messages) + 26 * len(calls) + 8 * results
    return round(approximate_text_tokens("".join(texts))) + frame


def failing_results(calls: Sequence[ToolCall], messages: Sequence[Message]) -> int:
    """How many results are errors that their server sent as answers, as many do: `Database error:
    ...`.
    """
    results = {message.tool_call_id: message.content for message in messages}
    return sum(
        says_failure(results[call.id], CalledTool(call.name, call.arguments))
        for call in calls
        if call.id in results
    )


def _wrong_calls(task: Task, calls: Sequence[ToolCall], rules: Rules) -> list[Rejection]:
    """A script's calls are known to be right. A language model has to call a tool that answers the
    question.
    """
    if rules.min_own_words is None:
        scripted = task.script.calls
        if (calls or scripted) and _multiset(calls) != sorted(
            canonical_json(call) for call in scripted
        ):
            return [
                Rejection(
                    RejectReason.TEACHER_FAILED, "other calls than those that answer the question"
                )
            ]
        return []
    expected = set(task.question.tools) if task.tools and task.kind != "abstention" else set()
    if expected and not expected & {call.name for call in calls}:
        return [
            Rejection(RejectReason.WRONG_TOOL, f"none of {', '.join(sorted(expected))} was called")
        ]
    return []


def _wrong_results(
    task: Task, messages: Sequence[Message], results: Sequence[str]
) -> list[Rejection]:
    reasons = []
    empty = [not read_result(result) for result in results]
    if task.kind == "abstention" and task.question.tools and not all(empty):
        reasons.append(Rejection(RejectReason.UNEXPECTED_RESULT, "something was found"))
    missing = set(task.memory_ids) - offered_ids(messages) if task.tools else set()
    if missing or (task.needs_result and (not empty or any(empty))):
        reasons.append(
            Rejection(
                RejectReason.NO_RESULT, f"{len(missing)} memories missing of {len(task.memory_ids)}"
            )
        )
    return reasons


def _wrong_answer(
    task: Task, messages: Sequence[Message], results: Sequence[str], rules: Rules
) -> list[Rejection]:
    """What the final answer says against the results, or beside them."""
    answer, offered, language = messages[-1].content, offered_ids(messages), task.question.language
    calls = [canonical_json(call.arguments) for message in messages for call in message.tool_calls]
    described = [f"{tool.name} {tool.description}" for tool in task.tools]
    others = [
        task.system,
        task.question.text,
        task.source_text,
        *task.memory_ids,
        *calls,
        *described,
    ]
    evidence = Evidence(results, others, offered)
    abstains = task.kind == "abstention"
    reasons = [
        Rejection(RejectReason.NOT_GROUNDED, detail)
        for detail in not_grounded(answer, evidence, language)
    ]
    reasons += [
        Rejection(RejectReason.CONTRADICTS, detail)
        for detail in contradictions(answer, evidence, language, may_deny=abstains)
    ]
    if abstains and says_never_told(answer, language) is False:
        reasons.append(
            Rejection(RejectReason.NOT_ABSTAINED, "the answer does not say that nothing is known")
        )
    if rules.min_own_words is not None and (task.memory_ids or task.needs_result):
        if not cited_ids(answer, offered):
            reasons.append(Rejection(RejectReason.NOT_CITED, f"none of {len(offered)} memories"))
        share = _own_words_share(answer, results, language)
        if share < rules.min_own_words:
            reasons.append(Rejection(RejectReason.NOT_OWN_WORDS, f"{share:.0%} of the words"))
    return reasons


def _own_words_share(answer: str, results: Sequence[str], language: LanguageCode) -> float:
    """Share of the content of an answer that is in the memories it was given."""
    evidence = " ".join(str(entry["text"]) for result in results for entry in memories_in(result))
    return recall_share(re.sub(r"\[[^\]]*\]", " ", answer), "", evidence, language)


def _invented_numbers(task: Task, answer: str) -> list[Rejection]:
    """The quick check of answers without tools, which are told from the elder's own words."""
    invented = set(written_numbers(answer))
    if invented:
        invented -= set(
            written_numbers(" ".join([task.question.text, task.source_text, *task.memory_ids]))
        )
    return (
        [Rejection(RejectReason.NOT_GROUNDED, f"{len(invented)} numbers stand in no result")]
        if invented
        else []
    )


def _banned(messages: Sequence[Message], patterns: Sequence[re.Pattern[str]]) -> list[Rejection]:
    if not patterns:
        return []
    calls = [canonical_json(call.arguments) for message in messages for call in message.tool_calls]
    text = "\n".join([*(message.content for message in messages), *calls])
    return [
        Rejection(RejectReason.BANNED, f"pattern {number}")
        for number, pattern in enumerate(patterns, start=1)
        if pattern.search(text)
    ]


def _multiset(calls: Sequence[ToolCall]) -> list[str]:
    plain_calls: list[JsonObject] = [
        {"name": call.name, "arguments": call.arguments} for call in calls
    ]
    return sorted(canonical_json(call) for call in plain_calls)
