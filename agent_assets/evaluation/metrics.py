"""What a rollout on a held-out item is worth: pure functions from results to numbers.

An item gets a score between 0 and 1 for each metric that applies to it, and a variant's metric is
the mean over the items that have it: null where none has. Whether something was never told is
scored only in languages that are known to say so. An item that failed for reasons of infrastructure
has no scores at all.

| metric | items | score of one item |
|---|---|---|
| tool_call_accuracy | `tool`, wordings also trained on (arguments unseen) | the calls are exactly the gold calls |
| tool_call_accuracy_unseen_wording | `tool`, wordings never trained on | the same |
| tool_name_accuracy | `tool`, all wordings | the right tools, whatever the arguments |
| answer_accuracy | `tool` with gold values, all wordings | the final answer states every gold value |
| recall_open, recall_closed | `recall_open` (with tools), `recall_closed` (without) | holds 60% of the memory or more |
| recall_open_share, recall_closed_share | the same | that share itself |
| citation | `recall_open` with memory ids | cites the gold memory ids and no other memory |
| abstention | `abstention` | says it was never told, and cites no memory |
| conversation, conversation_<kind> | `conversation` | right by exam_judge.py; only where there is an exam |
| false_abstention | both recall kinds | says it was never told although it was (lower is better) |

Exactly right: the same number of calls, in any order, each with the same name and equal arguments.
Numbers are equal as numbers (3 and 3.0), strings after stripping, lists of scalars in any order
(all of a tool's lists are selections: which factories, which regions), other lists in order. An
optional argument equal to its default in the schema counts the same given or left out; any other
additional or missing argument is wrong.
"""  # noqa: E501

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import (
    JsonObject,
    Message,
    ToolCall,
    ToolSchema,
    Usage,
    canonical_json,
)
from agent_assets.conversations.tools import argument_schemas, required_arguments
from agent_assets.evaluation import conversation
from agent_assets.evaluation.conversation import ConversationItem
from agent_assets.text import answers

RECALL_THRESHOLD = 0.6
NO_CALL = "(no call)"
UNKNOWN_TOOL = "(unknown tool)"

Scores = Mapping[str, float]  # one item: metric name -> score, only the metrics that apply


@dataclass(frozen=True)
class Metric:
    """A metric as reports show it. `headline` ones are in the first table."""

    name: str
    label: str
    headline: bool = True
    higher_is_better: bool = True


METRICS = (
    Metric("tool_call_accuracy", "Tool calls exactly right"),
    Metric("tool_call_accuracy_unseen_wording", "Tool calls exactly right, unseen wordings"),
    Metric("tool_name_accuracy", "Right tool, any arguments", headline=False),
    Metric("answer_accuracy", "Answer states every value"),
    Metric("recall_open", "Memory recall with tools"),
    Metric("recall_open_share", "Memory content recalled with tools", headline=False),
    Metric("citation", "Right memory cited"),
    Metric("recall_closed", "Memory recall without tools"),
    Metric("recall_closed_share", "Memory content recalled without tools", headline=False),
    Metric("abstention", "Says so when never told"),
    Metric("false_abstention", "Says never told although told", higher_is_better=False),
    Metric(conversation.ALL, "Conversation: turns as a family says them"),
    *(
        Metric(f"{conversation.ALL}_{kind}", f"Conversation: {words}")
        for kind, words in conversation.LABELS.items()
    ),
)


@dataclass(frozen=True)
class ItemResult:
    """What one variant did on one item.

    Args:
        messages: the whole rollout, system prompt and question first; empty when a server failed.
        stop_reason: why the agent loop ended ("" when a server failed).
        seconds: wall-clock time of the rollout.
        usage: tokens the model read and wrote; None when the server does not count them.
        error: name of the error when the model or a tool server failed or time ran out; such an
            item is not scored.
    """

    item: EvalItem
    messages: tuple[Message, ...]
    stop_reason: str
    seconds: float
    usage: Usage | None = None
    error: str | None = None

    @property
    def calls(self) -> list[ToolCall]:
        """Every tool call of the rollout, in order."""
        return [
            call
            for message in self.messages
            if message.role == "assistant"
            for call in message.tool_calls
        ]

    @property
    def answer(self) -> str:
        """The final text; "" when the rollout ended with a call."""
        return answers.final_answer(self.messages)


def score_items(results: Sequence[ItemResult], tools: Sequence[ToolSchema]) -> dict[str, Scores]:
    """Scores of every item of one variant by item id; an item that failed has none."""
    schemas = {tool.name: tool for tool in tools}
    known = frozenset(memory for result in results for memory in result.item.memory_ids)
    return {
        result.item.id: {} if result.error else _score(result, schemas, known) for result in results
    }


def metrics_of(items: Iterable[EvalItem]) -> tuple[Metric, ...]:
    """The metrics that a report on these items has: those of conversations only with an exam."""
    if any(item.kind == "conversation" for item in items):
        return METRICS
    return tuple(metric for metric in METRICS if not metric.name.startswith(conversation.ALL))


def mean_scores(
    scores: Mapping[str, Scores], metrics: Iterable[Metric] = METRICS
) -> dict[str, float | None]:
    """Every metric of one variant: the mean over the items that have it, None where none has."""
    return {metric.name: _mean(_values(scores.values(), metric.name)) for metric in metrics}


def accuracy_by_tool(
    results: Sequence[ItemResult], scores: Mapping[str, Scores], metric: str
) -> dict[str, float]:
    """A metric by the tool of the item, sorted by tool; tools without a scored item are left
    out.
    """
    by_tool: dict[str, list[float]] = {}
    for result in results:
        value = scores[result.item.id].get(metric)
        if value is not None:
            by_tool.setdefault(gold_label(result.item), []).append(value)
    return {tool: sum(values) / len(values) for tool, values in sorted(by_tool.items())}


def majority_baseline(items: Iterable[EvalItem]) -> float | None:
    """Accuracy of always calling the most common gold tool, counting the name alone: an upper bound
    of that guess.

    Over all `tool` items of both kinds of wording; it does not depend on the variant.
    """
    counts = Counter(gold_label(item) for item in items if item.kind == "tool")
    return max(counts.values()) / counts.total() if counts else None


def confusion(
    results: Sequence[ItemResult], tools: Sequence[ToolSchema]
) -> dict[str, dict[str, int]]:
    """Gold tool -> called tool -> items, over the `tool` items that were answered. Names the schema
    does not have count as `(unknown tool)`: they are the model's words.
    """
    names = {tool.name for tool in tools}
    table: dict[str, Counter[str]] = {}
    for result in results:
        if result.item.kind == "tool" and result.error is None:
            called = _label(
                [call.name if call.name in names else UNKNOWN_TOOL for call in result.calls]
            )
            table.setdefault(gold_label(result.item), Counter())[called] += 1
    return {gold: dict(sorted(counts.items())) for gold, counts in sorted(table.items())}


def primary_metric(item: EvalItem) -> str:
    """The metric that says whether a variant got this item right."""
    if isinstance(item, ConversationItem):
        return item.primary_metric
    if item.kind == "tool":
        return (
            "tool_call_accuracy" if item.wording == "seen" else "tool_call_accuracy_unseen_wording"
        )
    return str(item.kind)


def calls_match(
    gold: Sequence[JsonObject], calls: Sequence[ToolCall], schemas: Mapping[str, ToolSchema]
) -> bool:
    """Whether the calls are exactly the gold calls `[{name, arguments}]`; see the module for what
    exactly means.
    """
    expected = sorted(_canonical_call(call["name"], call["arguments"], schemas) for call in gold)
    return expected == sorted(_canonical_call(call.name, call.arguments, schemas) for call in calls)


def gold_label(item: EvalItem) -> str:
    """Names of the gold tools of an item, as tables show them."""
    return _label([call["name"] for call in item.gold_calls])


def _score(
    result: ItemResult, schemas: Mapping[str, ToolSchema], known: Collection[str]
) -> dict[str, float]:
    item, answer = result.item, result.answer
    if isinstance(item, ConversationItem):
        return item.score(answer)
    never_told = answers.says_never_told(answer, item.language)
    cited = answers.cited_ids(answer, {*known, *answers.offered_ids(result.messages)})
    scores: dict[str, float] = {}
    if item.kind == "tool":
        scores[primary_metric(item)] = float(calls_match(item.gold_calls, result.calls, schemas))
        gold_names = Counter(call["name"] for call in item.gold_calls)
        scores["tool_name_accuracy"] = float(
            gold_names == Counter(call.name for call in result.calls)
        )
        if item.gold_values:
            stated = (
                answers.states_value(value, answer, item.language) for value in item.gold_values
            )
            scores["answer_accuracy"] = float(all(stated))
    elif item.kind == "abstention":
        if never_told is not None:
            scores["abstention"] = float(never_told and not cited)
    else:
        share = answers.recall_share(item.gold_answer, item.question, answer, item.language)
        scores[item.kind] = float(share >= RECALL_THRESHOLD)
        scores[f"{item.kind}_share"] = share
        # A memory may itself say "I never told my mother": who recalls it does not abstain.
        if never_told is not None:
            scores["false_abstention"] = float(never_told and share < RECALL_THRESHOLD)
        if item.kind == "recall_open" and item.memory_ids:
            scores["citation"] = float(cited == frozenset(item.memory_ids))
    return scores


def _canonical_call(name: str, arguments: JsonObject, schemas: Mapping[str, ToolSchema]) -> str:
    tool = schemas.get(name, ToolSchema(name, "", {}))
    properties, required = argument_schemas(tool), required_arguments(tool)
    canonical_arguments = {}
    for key, value in arguments.items():
        canonical = _canonical_value(value)
        schema = properties.get(key, {})
        if (
            key in required
            or not isinstance(schema, dict)
            or "default" not in schema
            or canonical != _canonical_value(schema["default"])
        ):
            canonical_arguments[key] = canonical
    return canonical_json([name, canonical_arguments])


def _canonical_value(value: object) -> Any:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float):
        if not math.isfinite(value):  # a model may write NaN, which JSON does not have
            return {"not a number": repr(value)}
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _canonical_value(entry) for key, entry in value.items()}
    if isinstance(value, list):
        entries = [_canonical_value(entry) for entry in value]
        scalars = not any(isinstance(entry, dict | list) for entry in entries)
        return sorted(entries, key=canonical_json) if scalars else entries
    return value


def _label(names: Sequence[str]) -> str:
    return " + ".join(sorted(names)) or NO_CALL


def _values(scores: Iterable[Scores], metric: str) -> list[float]:
    return [score[metric] for score in scores if metric in score]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
