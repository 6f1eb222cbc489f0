"""Scenarios: questions for reinforcement learning with a gold reply, made like training questions
but never the same.

They are made by the same wordings and samplers as training rows, with a seed of their own, and
executed on the real servers, so that the right values are known. None shares its question with a
training row or a held-out item, and none its calls with a held-out item (calls without arguments
excepted: there is nothing to vary). Tool scenarios share no calls with training rows either; an
elder's scenarios look up the memories that training looks up, in other wordings.

Difficulty, 1 to 5: see `synthesis.difficulty`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent_assets.agent.loop import Limits, in_order
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.memories import read_memories, read_profile
from agent_assets.conversations.messages import ToolSchema, canonical_json
from agent_assets.errors import TrainingDataError
from agent_assets.rl.config import RlConfig
from agent_assets.rl.scenarios.trained import UsedInTraining, call_key, is_fresh, is_held
from agent_assets.synthesis.arguments.pool import CannotSample
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.chained import read_chained, with_values
from agent_assets.synthesis.questions.difficulty import call_difficulty
from agent_assets.synthesis.questions.question import Question, read_questions
from agent_assets.synthesis.questions.scripted import tool_questions
from agent_assets.synthesis.rows.checks import Rules
from agent_assets.synthesis.rows.example import run_task
from agent_assets.synthesis.rows.failing_tools import reject_failures
from agent_assets.synthesis.rows.heldout import heldout_item
from agent_assets.synthesis.tasks.all_tasks import elder_tasks
from agent_assets.synthesis.tasks.task import Task, Tools
from agent_assets.synthesis.tasks.tool_use import tool_tasks
from agent_assets.synthesis.teachers.scripted import ScriptedTeacher
from agent_assets.synthesis.wordings import TemplatesFile, read_templates
from agent_assets.text.seeds import stable_hash

SCENARIOS_FILE, HELDOUT_SCENARIOS_FILE = "scenarios.jsonl", "heldout_scenarios.jsonl"
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-0?(\d{1,2})-0?(\d{1,2})(?!\d)")


@dataclass(frozen=True)
class Scenario:
    """A question to learn on: an item like a held-out one, and how hard it is (1 to 5)."""

    item: EvalItem
    difficulty: int


async def make_scenarios(
    config: RlConfig,
    *,
    questions_folder: Path,
    rows_folder: Path,
    memories_folder: Path | None,
    templates_file: Path | None,
    tools: Sequence[ToolSchema],
    toolbox: Tools,
    questions: QuestionsConfig,
    rows: RowsConfig,
    system_prompt: str | None,
) -> list[Scenario]:
    """All scenarios of a pipeline or an elder, sorted by id.

    Raises:
        TrainingDataError: none could be made.
        ToolServerError: a server failed.
    """
    templates = with_values(read_templates(templates_file), read_chained(questions_folder))
    known = UsedInTraining.read(rows_folder)
    if memories_folder is None:
        tool_asks = list(_tool_questions(tools, templates, questions, config, known))
        tasks = tool_tasks(tool_asks, templates, tools, system=system_prompt or "")
    else:
        tasks = _elder_tasks(
            read_questions(questions_folder),
            templates,
            tools,
            memories_folder,
            rows,
            config,
            known,
            system_prompt,
        )
    teacher = ScriptedTeacher(
        {(task.question.text, bool(task.tools)): task.script for task in reversed(tasks)}
    )
    run = partial(
        run_task,
        teacher=teacher,
        toolbox=toolbox,
        rules=Rules(rows.max_row_tokens, replay=False),
        limits=Limits(rows.max_turns, rows.max_tool_calls, rows.question_seconds),
    )
    examples = reject_failures(
        await in_order([partial(run, task) for task in tasks], concurrency=rows.concurrency)
    )
    schemas = {tool.name: tool for tool in tools}
    items = [heldout_item(example) for example in examples if not example.rejections]
    scenarios = [Scenario(item, item_difficulty(item, schemas)) for item in items]
    in_range = [
        scenario
        for scenario in scenarios
        if config.min_difficulty <= scenario.difficulty <= config.max_difficulty
    ]
    if not in_range:
        raise TrainingDataError(
            f"No scenarios for reinforcement learning: {len(tasks)} made, {len(items)} executed, "
            "none of difficulty "
            f"{config.min_difficulty} to {config.max_difficulty} that training or held-out items "
            "do not use.",
            next_step="add wordings, raise rl.scenarios_per_tool or rl.max_difficulty, or set "
            "rl.enabled to false.",
        )
    return sorted(in_range, key=lambda scenario: scenario.item.id)


def item_difficulty(item: EvalItem, schemas: Mapping[str, ToolSchema]) -> int:
    """How hard an item is; see `synthesis.difficulty`."""
    asks_more = item.kind == "abstention" or bool(item.memory_ids)
    return call_difficulty(item.gold_calls, schemas, asks_more=asks_more)


def hold_out(
    scenarios: Sequence[Scenario], count: int, *, seed: int
) -> tuple[list[Scenario], list[Scenario]]:
    """The scenarios to train on, and `count` others, tools taking turns, that share no call with
    those.

    Raises:
        TrainingDataError: nothing would be left to train on.
    """
    ranked = sorted(scenarios, key=lambda scenario: stable_hash("held", seed, scenario.item.id))
    held_out = _interleaved(
        [
            scenario
            for scenario in ranked
            if any(call["arguments"] for call in scenario.item.gold_calls)
        ]
    )[:count]
    held_out_ids = {scenario.item.id for scenario in held_out}
    used = {
        call_key(call["name"], call["arguments"])
        for scenario in held_out
        for call in scenario.item.gold_calls
    }
    remaining = [
        scenario
        for scenario in scenarios
        if scenario.item.id not in held_out_ids
        and not any(
            call_key(call["name"], call["arguments"]) in used for call in scenario.item.gold_calls
        )
    ]
    if not remaining:
        raise TrainingDataError(
            f"Of {len(scenarios)} scenarios none is left to train on when {count} are held out.",
            next_step="lower rl.heldout_scenarios, or raise rl.scenarios_per_tool.",
        )
    return remaining, sorted(held_out, key=lambda scenario: scenario.item.id)


def schedule(scenarios: Sequence[Scenario], config: RlConfig) -> list[list[Scenario]]:
    """The scenarios of every step. Each is used once before any is used again; `easy_first` begins
    with easy ones.
    """
    easy = config.curriculum == "easy_first"

    def order(scenario: Scenario) -> tuple[int, int]:
        return (
            scenario.difficulty if easy else 0,
            stable_hash("scenario", config.seed, scenario.item.id),
        )

    ranked = (
        _interleaved(sorted(scenarios, key=order)) if not easy else sorted(scenarios, key=order)
    )
    count = config.scenarios_per_step
    return [
        [ranked[(step * count + n) % len(ranked)] for n in range(count)]
        for step in range(config.steps)
    ]


def _interleaved(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Tools taking turns, each with its kinds of questions in their shares.

    So every step resembles the whole: one without ranges would unlearn them, and one of hard
    questions alone would show as a fall of the reward.
    """
    totals = Counter(map(_kind, scenarios))
    placed_per_kind: Counter[str] = Counter()
    placed = []
    for place, scenario in enumerate(scenarios):
        kind = _kind(scenario)
        placed.append(((placed_per_kind[kind] + 0.5) / totals[kind], place, scenario))
        placed_per_kind[kind] += 1
    turns: Counter[str | None] = Counter()
    keyed = []
    for _, place, scenario in sorted(placed, key=lambda entry: entry[:2]):
        keyed.append((turns[scenario.item.tool], place, scenario))
        turns[scenario.item.tool] += 1
    return [scenario for _, _, scenario in sorted(keyed, key=lambda entry: entry[:2])]


def _kind(scenario: Scenario) -> str:
    """The tool, the names of its arguments, and whether the question has their values as the tool
    wants them.
    """
    item = scenario.item
    values = [
        value
        for call in item.gold_calls
        for value in call["arguments"].values()
        if isinstance(value, str)
    ]
    verbatim = all(value in item.question for value in values)
    return canonical_json(
        [item.tool, [sorted(call["arguments"]) for call in item.gold_calls], verbatim]
    )


def _tool_questions(
    tools: Sequence[ToolSchema],
    templates: TemplatesFile,
    questions: QuestionsConfig,
    config: RlConfig,
    known: UsedInTraining,
) -> Iterator[Question]:
    """Training wordings with arguments that neither training nor held-out items have."""
    texts = set(known.texts)
    sampler = questions.model_copy(
        update={
            "seed": stable_hash("rl", config.seed) % 2**32,
            # Some will turn out to be used already.
            "per_tool": 2 * config.scenarios_per_tool,
            "per_tool_without_arguments": config.scenarios_per_tool,
        }
    )
    for tool in sorted(tools, key=lambda tool: tool.name):
        for language in questions.languages:
            try:
                new_questions = tool_questions(tool, templates, language, sampler, texts)
            except CannotSample:  # `questions` names the tool as uncovered
                continue
            fresh = [
                question
                for question in new_questions
                if question.split == "train" and is_fresh(question, known)
            ]
            for question in fresh[: config.scenarios_per_tool]:
                harder = (
                    stable_hash("unpadded", config.seed, question.id) % 1000
                    < 1000 * config.unpadded_share
                )
                text = unpadded_dates(question.text) if harder else question.text
                yield Question(**{**vars(question), "id": f"rl-{question.id}", "text": text})


def unpadded_dates(text: str) -> str:
    """A text with its ISO dates as people type them: 2025-03-05 becomes 2025-3-5."""
    return _ISO_DATE.sub(r"\1-\2-\3", text)


def _elder_tasks(
    questions: Sequence[Question],
    templates: TemplatesFile,
    tools: Sequence[ToolSchema],
    memories_folder: Path,
    rows: RowsConfig,
    config: RlConfig,
    known: UsedInTraining,
    system_prompt: str | None,
) -> list[Task]:
    """The elder's tasks with tools, in training wordings that training did not use for that
    memory.
    """
    more = rows.model_copy(
        update={
            "open_per_memory": rows.open_per_memory + 3,
            "closed_per_memory": 0,
            "never_told_repeats": rows.never_told_repeats + 3,
            "memory_tool_questions": rows.memory_tool_questions + config.scenarios_per_tool,
        }
    )
    tasks, _ = elder_tasks(
        questions,
        templates,
        tools,
        read_profile(memories_folder),
        read_memories(memories_folder),
        config=more,
        system_prompt=system_prompt,
    )
    texts = set(known.texts)
    fresh_tasks: list[Task] = []
    for task in tasks:
        fresh = task.tools and task.question.split == "train" and task.question.text not in texts
        if fresh and not is_held(task.question.gold_calls, known):
            texts.add(task.question.text)
            question = Question(**{**vars(task.question), "id": f"rl-{task.question.id}"})
            fresh_tasks.append(Task(**{**vars(task), "question": question}))
    per_kind: Counter[tuple[str, str]] = Counter()
    chosen = []
    for task in sorted(
        fresh_tasks, key=lambda task: stable_hash("rl", config.seed, task.question.id)
    ):
        key = (task.kind, task.question.tools[0])
        per_kind[key] += 1
        if per_kind[key] <= config.scenarios_per_tool:
            chosen.append(task)
    return chosen
