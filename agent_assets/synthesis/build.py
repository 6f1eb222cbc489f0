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
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent_assets.agent.loop import ChatModel
from agent_assets.conversations.items import write_items
from agent_assets.conversations.memories import read_memories, read_profile
from agent_assets.conversations.messages import (
    JsonObject,
    ToolSchema,
    canonical_json,
    canonical_text_json,
    said_and_called,
    write_json_lines,
)
from agent_assets.errors import TrainingDataError
from agent_assets.reviews.decisions import Decisions
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.counts import count
from agent_assets.synthesis.questions.question import Split, read_questions, read_uncovered
from agent_assets.synthesis.rows.coverage import coverage
from agent_assets.synthesis.rows.decided import NO_DECISIONS, reviewed
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.failing_tools import tools_in_need
from agent_assets.synthesis.rows.heldout import heldout_item, without_trained_calls
from agent_assets.synthesis.rows.mixture import Mixed, general_rows, mix_rows
from agent_assets.synthesis.rows.own import own_examples, own_rows
from agent_assets.synthesis.rows.own_files import read_own_rows
from agent_assets.synthesis.rows.packing import pack_rows
from agent_assets.synthesis.tasks.all_tasks import elder_tasks
from agent_assets.synthesis.tasks.task import Tools
from agent_assets.synthesis.tasks.tool_use import tool_tasks, unanswerable_tasks
from agent_assets.synthesis.teachers.run import LlmTeaching, forbidden_tools, rules_of, teach
from agent_assets.synthesis.wordings import read_templates
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
    sources: Sequence[Path] = (),
    decisions: Decisions = NO_DECISIONS,
) -> JsonObject:
    """Write the four files into `folder`; returns counts without any text.

    Args:
        toolbox: the open servers; of an elder's pipeline they serve that elder's memories.
        memories_folder: one elder's memories, None for an agent that speaks for nobody.
        system_prompt: for an elder a template with `{name}` and `{traits}`; None takes ours.
        teacher: does what the scripts say; None is the scripted one.
        llm: a language model that teaches instead.
        general: file with the general rows of the mix; None takes ours.
        sources: the files of `config.sources`.
        decisions: what reviewers decided, by content id.

    Raises:
        ConfigError: a file of `sources` cannot be read.
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
    examples: list[Example] = []
    if config.made_rows:
        examples = await teach(
            tasks, toolbox, config, persona=memories_folder is not None, llm=llm, teacher=teacher
        )
    if llm is not None:
        examples = without_trained_calls(examples)
    examples = [reviewed(example, decisions) for example in examples]
    own = await own_examples(
        read_own_rows(sources, config.columns),
        examples,
        tools=tools,
        toolbox=toolbox,
        config=config,
        rules=rules_of(config, by_script=True),
        system="" if memories_folder else system_prompt or "",
    )
    train, own_train = _side(examples, "train"), _side(own, "train")
    heldout = [*_side(examples, "heldout"), *_side(own, "heldout")]
    rejected = [example for example in (*examples, *own) if example.rejections]
    mixed = Mixed(train)
    if config.mix is not None:
        mixed = mix_rows(train, general_rows(general, language), config.mix, seed=config.seed)
    train = [*mixed.examples, *own_train]
    rows = [*pack_rows(mixed.examples, config), *own_rows(own_train), *mixed.general]
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
            f"{len(examples) + len(own)} questions left {len(rows)} rows, {config.min_rows} are "
            "needed; "
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
    mix = {} if config.mix is None else mixed.summary(config.mix)
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


def _side(examples: Sequence[Example], split: Split) -> list[Example]:
    """The accepted examples of training, or of the held-out items."""
    return [
        example
        for example in examples
        if not example.rejections and example.task.question.split == split
    ]


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
