"""Held-out items: what of an example is asked, and what a right reply holds."""

from collections.abc import Sequence
from dataclasses import replace

from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import JsonObject, canonical_json
from agent_assets.conversations.validation import Rejection, RejectReason
from agent_assets.synthesis.rows.example import Example
from agent_assets.text.answers import states_value
from agent_assets.text.own_words import result_values


def heldout_item(example: Example) -> EvalItem:
    """The held-out item of an example."""
    task = example.task
    assert task.kind != "own"  # of one's own rows only those with calls are held out, as `tool`
    recall = task.kind in {"recall_open", "recall_closed"}
    values = [] if task.kind != "tool" else _gold_values(example)
    return EvalItem(
        id=task.question.id,
        kind=task.kind,
        wording="seen" if task.question.wording_seen else "unseen",
        language=task.question.language,
        question=task.question.text,
        system=task.system,
        gold_calls=[] if recall else _gold_calls(example),
        gold_answer=example.answer,
        gold_values=values,
        memory_ids=list(task.memory_ids),
        tool=task.question.tools[0] if task.tools and task.question.tools else None,
    )


def _gold_calls(example: Example) -> list[JsonObject]:
    """The calls that are right: known before, or, where a language model asked and answered, those
    it made.
    """
    calls = [{"name": call.name, "arguments": call.arguments} for call in example.calls]
    return list(example.task.question.gold_calls) or calls


def without_trained_calls(examples: Sequence[Example]) -> list[Example]:
    """A language model's held-out questions may need the very calls that training makes: those are
    rejected.
    """
    trained = {
        calls_key(example)
        for example in examples
        if example.task.question.split == "train" and not example.rejections
    }
    why = (Rejection(RejectReason.DUPLICATE, "training makes the same calls"),)
    return [
        replace(example, rejections=example.rejections or why)
        if example.task.question.split == "heldout"
        and example.task.kind == "tool"
        and calls_key(example) in trained
        else example
        for example in examples
    ]


def calls_key(example: Example) -> str:
    """The calls of an example; one without arguments has a key of its own: there is nothing to
    vary.
    """
    calls = [{"name": call.name, "arguments": call.arguments} for call in example.calls]
    varied = any(call["arguments"] for call in calls)
    return (
        canonical_json(sorted(map(canonical_json, calls))) if varied else example.task.question.id
    )


def _gold_values(example: Example) -> list[str]:
    if example.task.needs_result:  # memories: the answer cites all of them
        return example.sources
    language = example.task.question.language
    values = [value for result in example.results for value in result_values(result)]
    return [
        value for value in dict.fromkeys(values) if states_value(value, example.answer, language)
    ]
