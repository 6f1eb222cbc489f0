"""Tasks of one elder, made from shared question templates and the elder's own memories.

| tasks | asked | a right answer |
|---|---|---|
| recall_open | with tools: a memory's question in some wording | the elder's own words and the memory's id |
| recall_closed | without tools: the same | the elder's own words |
| tool | with tools: the other memory tools | what they return, cited |
| abstention | with tools: what nobody told | says so |

Held out are wordings that training never uses. A quarter of the memories is never looked up in training, so that
held-out recall with tools also has arguments that training never saw; an elder with too few memories for that is asked
about the others. Every memory is trained without tools.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from agent_assets.agent.system_prompt import elder_prompt
from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.conversations.messages import ToolSchema
from agent_assets.errors import ConfigError, MemoryDataError, TrainingDataError
from agent_assets.synthesis.arguments.from_memories import MemoryArguments
from agent_assets.synthesis.config import RowsConfig
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.tasks.elder import Elder
from agent_assets.synthesis.tasks.memory_tools import memory_tool_tasks
from agent_assets.synthesis.tasks.recall import closed_tasks, never_told_tasks, open_tasks
from agent_assets.synthesis.tasks.task import Task
from agent_assets.synthesis.tasks.tool_use import tool_tasks
from agent_assets.synthesis.templates.file import WordingsFile
from agent_assets.synthesis.templates.render import memory_sources
from agent_assets.text.language import Language
from agent_assets.text.seeds import stable_hash


def elder_tasks(
    questions: Sequence[Question],
    words: WordingsFile,
    tools: Sequence[ToolSchema],
    profile: ElderProfile,
    memories: Sequence[Memory],
    *,
    config: RowsConfig,
    system_prompt: str | None,
) -> tuple[list[Task], dict[str, str]]:
    """All tasks of one elder, and why a tool or a memory has none.

    Raises:
        ConfigError: the wordings file does not say how memories are asked for.
        MemoryDataError: fewer usable memories than the configuration wants.
        TrainingDataError: there are no questions in the elder's language.
    """
    if words.recall is None:
        raise ConfigError(
            "The wordings file does not say how memories are asked for.",
            next_step="add `recall` to it, as in defs/elder_companion/wordings.yaml.",
        )
    usable = _usable(memories)
    if len(usable) < config.min_memories:
        raise MemoryDataError(
            f"Elder {profile.elder_id} has {len(usable)} memories with a question of their own; "
            f"{config.min_memories} are needed.",
            next_step="let the elder answer more questions, or lower train_jsonl.min_memories.",
        )
    mine = [question for question in questions if question.language == profile.language]
    mine = [*mine, *_unanswered(mine, memories, config)]
    if not any(question.kind == "recall" for question in mine):
        raise TrainingDataError(
            f"Elder {profile.elder_id} speaks {profile.language}, and no question asks for memories in that language.",
            next_step=f"add {profile.language} to questions.languages and to the wordings file.",
        )
    elder = Elder(
        profile,
        cast(Language, profile.language),
        tuple(usable),
        elder_prompt(profile, system_prompt),
        tuple(tools),
        words,
        words.recall,
        config,
    )
    uncovered = {} if len(usable) == len(memories) else {"memories": f"{len(memories) - len(usable)} left out: no "
                 "question of their own, or the question of another memory"}  # fmt: skip
    tasks = [*open_tasks(elder, mine), *closed_tasks(elder, mine), *never_told_tasks(elder, mine)]
    tasks += tool_tasks(mine, words, tools, system=elder.system)
    arguments: MemoryArguments | None = None
    for tool in sorted(tools, key=lambda tool: tool.name):
        sources = memory_sources(words, tool.name)
        if sources and tool.name != words.recall.tool:
            arguments = arguments or MemoryArguments(usable, elder.language)
            lacking = arguments.lacking(sources)
            if lacking is None:
                tasks += memory_tool_tasks(elder, mine, tool, arguments)
            else:
                uncovered[tool.name] = lacking
    return tasks, uncovered


def _unanswered(questions: Sequence[Question], memories: Sequence[Memory], config: RowsConfig) -> list[Question]:
    """Questions of the questionnaire that the elder never answered, the first of them by hash, as never told."""
    answered = {" ".join(memory.question.split()) for memory in memories}
    open_ones = [one for one in questions if one.kind == "questionnaire" and one.text not in answered]
    first = sorted(open_ones, key=lambda one: stable_hash("questionnaire", one.id))[: config.questionnaire_questions]
    return [replace(question, kind="abstention") for question in first]


def _usable(memories: Sequence[Memory]) -> list[Memory]:
    """Memories that can be asked for: with a question, and the first of those with the same question."""
    by_question: dict[str, Memory] = {}
    for memory in sorted(memories, key=lambda memory: memory.memory_id):
        if memory.question.strip() and memory.answer.strip():
            by_question.setdefault(" ".join(memory.question.split()), memory)
    return list(by_question.values())
