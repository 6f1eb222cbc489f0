"""Training rows and held-out items: every question answered by a teacher over the real tool
servers, and checked.

Files: train.jsonl (ms-swift rows with `id`, `kind`, `sources`: memory ids, `question_ids`),
heldout.jsonl (one `EvalItem` a line), rejects.jsonl (rows with `reasons`), coverage.json. Same
inputs, same bytes.

A row packs several independent examples under one system prompt and one tool list: reading the
tools is most of what an example costs a small model. Rows with tools have kind `tools`, those
without `closed_book`, replayed `general`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent_assets.agent.loop import ChatModel
from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.items import EvalItem, write_items
from agent_assets.conversations.markers import conversation_without_markers
from agent_assets.conversations.memories import read_memories, read_profile
from agent_assets.conversations.messages import (
    Conversation,
    JsonObject,
    Message,
    ToolSchema,
    canonical_json,
    canonical_text_json,
    said_and_called,
    write_json_lines,
)
from agent_assets.conversations.validation import Rejection, RejectReason
from agent_assets.errors import TrainingDataError
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.counts import count
from agent_assets.synthesis.questions.question import read_questions, read_uncovered
from agent_assets.synthesis.rows.coverage import coverage
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.failing_tools import tools_in_need
from agent_assets.synthesis.rows.mixture import Mixed, general_rows, mix_rows
from agent_assets.synthesis.tasks.all_tasks import elder_tasks
from agent_assets.synthesis.tasks.task import Tools
from agent_assets.synthesis.tasks.tool_use import tool_tasks, unanswerable_tasks
from agent_assets.synthesis.teachers.run import LlmTeaching, forbidden_tools, teach
from agent_assets.synthesis.wordings import read_templates
from agent_assets.text.answers import states_value
from agent_assets.text.own_words import result_values
from agent_assets.text.seeds import stable_hash

TRAIN_FILE, HELDOUT_FILE, REJECTS_FILE, COVERAGE_FILE = (
    "train.jsonl",
    "heldout.jsonl",
    "rejects.jsonl",
    "coverage.json",
)


async def make_rows(
    folder: Path,
    *,
    questions_folder: Path,
    tools: Sequence[ToolSchema],
    toolbox: Tools,
    memories_folder: Path | None,
    config: RowsConfig,
    system_prompt: str | None,
    templates_file: Path | None,
    teacher: ChatModel | None = None,
    llm: LlmTeaching | None = None,
    general: Path | None = None,
) -> JsonObject:
    """Write the four files into `folder`; returns counts without any text.

    Args:
        toolbox: the open servers; of an elder's pipeline they serve that elder's memories.
        memories_folder: one elder's memories, None for an agent that speaks for nobody.
        system_prompt: for an elder a template with `{name}` and `{traits}`; None takes ours.
        teacher: does what the scripts say; None is the scripted one.
        llm: a language model that teaches instead.
        general: file with the general rows of the mix; None takes ours.

    Raises:
        LlmError: the language model cannot be asked.
        TrainingDataError: too few rows are left, or the questions do not fit the elder.
        MemoryDataError: the elder has too few usable memories.
        ToolServerError: a server failed.
    """
    templates = read_templates(templates_file)
    questions = read_questions(questions_folder)
    uncovered, language = read_uncovered(questions_folder), "en"
    if memories_folder is None:
        tasks = tool_tasks(questions, templates, tools, system=system_prompt or "")
        tasks += unanswerable_tasks(questions, templates, tools, system=system_prompt or "")
    else:
        profile, memories = read_profile(memories_folder), read_memories(memories_folder)
        language = profile.language
        tasks, lacking = elder_tasks(
            questions,
            templates,
            tools,
            profile,
            memories,
            config=config,
            system_prompt=system_prompt,
        )
        uncovered |= lacking
    examples = await teach(
        tasks, toolbox, config, persona=memories_folder is not None, llm=llm, teacher=teacher
    )
    if llm is not None:
        examples = _without_trained_calls(examples)
    accepted = [example for example in examples if not example.rejections]
    train = [example for example in accepted if example.task.question.split == "train"]
    heldout = [example for example in accepted if example.task.question.split == "heldout"]
    rejected = [example for example in examples if example.rejections]
    mixed = Mixed(train)
    if config.mix is not None:
        mixed = mix_rows(train, general_rows(general, language), config.mix, seed=config.seed)
    train, rows = mixed.examples, [*pack_rows(mixed.examples, config), *mixed.general]
    rows.sort(key=lambda row: stable_hash("order", config.seed, row["id"]))
    uncovered |= dict.fromkeys(
        sorted(forbidden_tools(toolbox, config)), "its server says that it changes things"
    )
    needs = tools_in_need(examples, tools)
    report = coverage(train, heldout, rejected, tools, uncovered=uncovered, needs=needs)
    coverable = {
        name: calls for name, calls in report["calls_by_tool"].items() if name not in uncovered
    }
    if len(rows) < config.min_rows:
        raise TrainingDataError(
            f"{len(tasks)} questions left {len(rows)} rows, {config.min_rows} are needed; "
            f"rejected: {canonical_json(report['rejected_by_reason'])}."
            f"{_told_uncovered(report['uncovered'])}",
            next_step="give real values (docs/training-data.md, Real values), ask more questions "
            "per tool, or see why rows are rejected: the reason codes are explained there, too.",
        )
    (folder / TRAIN_FILE).write_bytes(b"".join(canonical_text_json(row) + b"\n" for row in rows))
    write_items(folder / HELDOUT_FILE, map(heldout_item, heldout))
    write_json_lines(folder / REJECTS_FILE, map(_reject, rejected))
    text = json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / COVERAGE_FILE).write_text(text + "\n", encoding="utf-8")
    mix = (
        {}
        if config.mix is None
        else {
            "mix": {part: round(share, 4) for part, share in mixed.shares.items()},
            "mix_left_out": dict(mixed.left_out),
            "mix_farthest": round(mixed.farthest(config.mix), 4),
        }
    )
    return {
        "rows": len(rows),
        "approximate_tokens": sum(example.tokens for example in train),
        "rows_by_kind": count(row["kind"] for row in rows),
        **{key: report[key] for key in _SUMMARY},
        "below_floor": {
            name: calls for name, calls in coverable.items() if calls < config.min_calls_per_tool
        },
        "needs_values": report.get("needs_values", {}),
        **mix,
    }


def _told_uncovered(uncovered: Mapping[str, str]) -> str:
    """Which tools are in no row, by the reason without its counts."""
    names: dict[str, list[str]] = {}
    for name, reason in sorted(uncovered.items()):
        names.setdefault(re.sub(r": \d+ of .*| \d+", "", reason), []).append(name)
    return "".join(f" {reason}: {', '.join(tools)}." for reason, tools in names.items())


_SUMMARY = (
    "exchanges",
    "rejected",
    "rejected_by_reason",
    "calls_by_tool",
    "by_kind",
    "by_language",
    "heldout",
    "heldout_by_kind",
    "heldout_by_wording",
    "uncovered",
)


def pack_rows(examples: Iterable[Example], config: RowsConfig) -> list[JsonObject]:
    """Rows in the swift format, several examples each, in an order that mixes tools and depends on
    the seed alone.
    """
    shuffled = sorted(
        examples, key=lambda example: stable_hash("row", config.seed, example.task.question.id)
    )
    rows = []
    for kind in ("tools", "closed_book"):
        alike = [example for example in shuffled if bool(example.task.tools) is (kind == "tools")]
        for number, packed in enumerate(_packs(alike, config)):
            rows.append(_row(f"{kind}-{number:04d}", kind, packed))
    return sorted(rows, key=lambda row: stable_hash("order", config.seed, row["id"]))


def heldout_item(example: Example) -> EvalItem:
    """The held-out item of an example."""
    task = example.task
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


def _without_trained_calls(examples: Sequence[Example]) -> list[Example]:
    """A language model's held-out questions may need the very calls that training makes: those are
    rejected.
    """
    trained = {
        _calls_key(example)
        for example in examples
        if example.task.question.split == "train" and not example.rejections
    }
    why = (Rejection(RejectReason.DUPLICATE, "training makes the same calls"),)
    return [
        replace(example, rejections=example.rejections or why)
        if example.task.question.split == "heldout"
        and example.task.kind == "tool"
        and _calls_key(example) in trained
        else example
        for example in examples
    ]


def _calls_key(example: Example) -> str:
    """The calls of an example; one without arguments has a key of its own: there is nothing to
    vary.
    """
    calls = [{"name": call.name, "arguments": call.arguments} for call in example.calls]
    varied = any(call["arguments"] for call in calls)
    return (
        canonical_json(sorted(map(canonical_json, calls))) if varied else example.task.question.id
    )


def _packs(examples: Sequence[Example], config: RowsConfig) -> list[list[Example]]:
    packs: list[list[Example]] = []
    size = 0
    for example in examples:
        if (
            not packs
            or len(packs[-1]) == config.exchanges_per_row
            or size + example.tokens > config.max_row_tokens
        ):
            packs.append([])
            size = 0
        packs[-1].append(example)
        size += example.tokens
    return packs


def _row(row_id: str, kind: str, packed: Sequence[Example]) -> JsonObject:
    task = packed[0].task
    messages = [Message("system", task.system)] if task.system else []
    for example in packed:
        messages += example.messages
    # Swift rows pair calls and results by position, so equal call ids of two examples do not meet.
    row = _swift(messages, task.tools)
    row["id"], row["kind"] = row_id, kind
    row["sources"] = sorted({source for example in packed for source in example.sources})
    row["question_ids"] = [example.task.question.id for example in packed]
    return row


def _reject(example: Example) -> JsonObject:
    """What was rejected, in whatever state it is: a list of messages, not a row."""
    task = example.task
    return {
        "id": task.question.id,
        "kind": task.kind,
        "split": task.question.split,
        "sources": example.sources,
        "reasons": [
            {"reason": reason.reason, "detail": reason.detail} for reason in example.rejections
        ],
        "messages": [said_and_called(message) for message in example.messages],
    }


def _swift(messages: Sequence[Message], tools: tuple[ToolSchema, ...]) -> JsonObject:
    return to_swift(conversation_without_markers(Conversation(tuple(messages), tools)))


def _gold_values(example: Example) -> list[str]:
    if example.task.needs_result:  # memories: the answer cites all of them
        return example.sources
    language = example.task.question.language
    values = [value for result in example.results for value in result_values(result)]
    return [
        value for value in dict.fromkeys(values) if states_value(value, example.answer, language)
    ]
