"""Verifiable rewards of a rollout: pure functions, no model asked.

| component | applies to | value, 0 to 1 |
|---|---|---|
| format | all | every call parses, no call is left in a text, and the rollout ended with an answer |
| schema_valid | where a call is right | share of the calls that fit the schema of their tool |
| executed | where a call is right | share of the calls that a tool answered without an error |
| tool | where a call is right | F1 of the called tool names against the gold ones, with multiplicity |
| arguments | `tool` | 1 for exactly the gold calls (as in evaluation), else half the share of right arguments |
| exact | `tool` | 1 for exactly the gold calls, else 0: rollouts that all fail teach nothing about failing better |
| grounded | `tool` with gold values, recall | share of the gold values stated (recall: of the memory's content) |
| citation | `recall_open` | 1 when exactly the gold memories are cited |
| abstention | `abstention`, in a language that is known to say so | says it was never told, citing nothing |

An answer with a number that is in no result, nor in the question, is not grounded at all.

The reward is the weighted mean of the components that apply, and zero for a rollout that did not do
its task at all: no right tool called where one is needed, or no answer. So neither silence, nor one
favourite tool, nor a text that pleases
a judge earns anything: a judge's score counts only where this gate is open.
"""  # noqa: E501

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_assets.agent.loop import ERROR_PREFIX, UNPARSED, StopReason
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import (
    JsonObject,
    Message,
    ToolCall,
    ToolSchema,
    canonical_json,
)
from agent_assets.conversations.validation import validate_call
from agent_assets.evaluation.metrics import calls_match
from agent_assets.rl.config import RewardWeights
from agent_assets.text import answers
from agent_assets.text.numbers import written_numbers

_CALL_IN_TEXT = re.compile(r"</?tool_call>|</?tool_response>")


@dataclass(frozen=True)
class Reward:
    """What a rollout earned. `total` is the reward without a judge; `open` says whether a judge's
    score would count.
    """

    total: float
    components: Mapping[str, float]
    open: bool

    def with_judge(self, score: float, weights: RewardWeights) -> "Reward":
        """The reward with a judge's score (0 to 1) among its components; still 0 where the gate is
        closed.
        """
        components = {**self.components, "judge": score}
        return Reward(_weighted(components, weights) if self.open else 0.0, components, self.open)


def reward(
    item: EvalItem,
    messages: Sequence[Message],
    stop_reason: str,
    tools: Sequence[ToolSchema],
    weights: RewardWeights,
) -> Reward:
    """Score one rollout.

    Args:
        item: question and gold reply.
        messages: the whole rollout, system prompt and question first.
        stop_reason: why it ended, see `StopReason`.
        tools: what was offered.
    """
    calls = [call for message in messages for call in message.tool_calls]
    answer = answers.final_answer(messages)
    ended = stop_reason == StopReason.ANSWERED and bool(answer)
    components = {"format": float(ended and _well_formed(messages, calls))}
    if item.gold_calls or item.kind == "recall_open":
        components |= _call_components(item, messages, calls, tools)
    components |= _answer_components(item, messages, answer)
    gate = ended and components.get("tool", 1.0) > 0
    return Reward(_weighted(components, weights) if gate else 0.0, components, gate)


def _well_formed(messages: Sequence[Message], calls: Sequence[ToolCall]) -> bool:
    texts = [message.content for message in messages if message.role == "assistant"]
    return not any(UNPARSED in call.arguments for call in calls) and not any(
        map(_CALL_IN_TEXT.search, texts)
    )


def _call_components(
    item: EvalItem,
    messages: Sequence[Message],
    calls: Sequence[ToolCall],
    tools: Sequence[ToolSchema],
) -> dict[str, float]:
    gold = [call["name"] for call in item.gold_calls] or [item.tool]
    components = {"schema_valid": 0.0, "executed": 0.0, "tool": 0.0}
    if item.kind == "tool":
        components |= {"arguments": 0.0, "exact": 0.0}
    if not calls:
        return components
    results = {
        message.tool_call_id: message.content for message in messages if message.role == "tool"
    }
    right = sum((Counter(gold) & Counter(call.name for call in calls)).values())
    done = [call.id in results and not results[call.id].startswith(ERROR_PREFIX) for call in calls]
    components["schema_valid"] = sum(not validate_call(call, tools) for call in calls) / len(calls)
    components["executed"] = sum(done) / len(calls)
    components["tool"] = 2 * right / (len(gold) + len(calls))
    if item.kind == "tool":
        exact = calls_match(item.gold_calls, calls, {tool.name: tool for tool in tools})
        components["exact"] = float(exact)
        components["arguments"] = 1.0 if exact else 0.5 * _argument_share(item.gold_calls, calls)
    return components


def _argument_share(gold: Sequence[JsonObject], calls: Sequence[ToolCall]) -> float:
    """Mean over the gold calls of the best share of equal arguments of a call to that tool; more
    calls lower it.
    """
    best = 0.0
    for gold_call in gold:
        same = [call.arguments for call in calls if call.name == gold_call["name"]]
        best += max(
            (_equal_share(gold_call["arguments"], arguments) for arguments in same), default=0.0
        )
    return best / max(len(gold), len(calls))


def _equal_share(expected: JsonObject, called: JsonObject) -> float:
    names = set(expected) | set(called)
    same = sum(
        name in expected and name in called and _same(expected[name], called[name])
        for name in names
    )
    return same / len(names) if names else 1.0


def _same(first: object, other: object) -> bool:
    """Equal as JSON; a model may write NaN, which equals nothing."""
    try:
        return canonical_json(first) == canonical_json(other)
    except ValueError:
        return False


def _answer_components(
    item: EvalItem, messages: Sequence[Message], answer: str
) -> dict[str, float]:
    components: dict[str, float] = {}
    offered = answers.offered_ids(messages)
    cited = answers.cited_ids(answer, offered | set(item.memory_ids))
    if item.kind == "abstention":
        abstains = answers.says_never_told(answer, item.language)
        return {} if abstains is None else {"abstention": float(abstains and not cited)}
    if item.kind == "tool":
        if item.gold_values:
            components["grounded"] = sum(
                answers.states_value(value, answer, item.language) for value in item.gold_values
            )
            components["grounded"] /= len(item.gold_values)
    else:
        components["grounded"] = answers.recall_share(
            item.gold_answer, item.question, answer, item.language
        )
        if item.memory_ids and item.kind == "recall_open":
            components["citation"] = float(cited == frozenset(item.memory_ids))
    if components.get("grounded") and _invents(item, messages, answer):
        components["grounded"] = 0.0
    return components


def _invents(item: EvalItem, messages: Sequence[Message], answer: str) -> bool:
    """Whether the answer holds a number that is in no result, nor in the question, nor in what
    was told.
    """
    results = " ".join(message.content for message in messages if message.role == "tool")
    gold_answer = item.gold_answer if item.kind == "recall_closed" else ""
    known = set(written_numbers(" ".join([results, item.question, gold_answer, *item.memory_ids])))
    return not known.issuperset(written_numbers(answer))


def _weighted(components: Mapping[str, float], weights: RewardWeights) -> float:
    table = weights.model_dump()
    total = sum(table[name] for name in components)
    return sum(table[name] * value for name, value in components.items()) / total if total else 0.0
