"""Tasks of one elder, made from shared question templates and the elder's own memories.

| tasks | asked | a right answer |
|---|---|---|
| recall_open | with tools: a memory's question in some wording | the elder's own words and the memory's id |
| recall_closed | without tools: the same | the elder's own words |
| tool | with tools: the other memory tools | what they return, cited |
| abstention | with tools: what nobody told | says so |

Held out are wordings that training never uses. A quarter of the memories is never looked up in
training, so that held-out recall with tools also has arguments that training never saw; an elder
with too few memories for that is asked about the others. Every memory is trained without tools.
"""  # noqa: E501

from collections.abc import Sequence
from dataclasses import replace

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
from agent_assets.synthesis.templates.render import memory_sources
from agent_assets.synthesis.wordings import TemplatesFile
from agent_assets.text.languages.rules import LanguageCode, known_languages, rules_for
from agent_assets.text.seeds import stable_hash


def elder_tasks(
    questions: Sequence[Question],
    templates: TemplatesFile,
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
    if templates.recall is None:
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
    asked_in, mine = _in_language(questions, profile.language)
    mine = [*mine, *_unanswered(mine, memories, config)]
    if not any(question.kind == "recall" for question in mine):
        raise TrainingDataError(
            f"Elder {profile.elder_id} speaks {profile.language}, and no question asks for "
            "memories in that language.",
            next_step=f"add {profile.language} to questions.languages and to the wordings file.",
        )
    elder = Elder(
        profile,
        profile.language,
        asked_in,
        tuple(usable),
        elder_prompt(profile, system_prompt),
        tuple(tools),
        templates,
        templates.recall,
        config,
    )
    uncovered = _unknown_of_language(profile.language, asked_in)
    if len(usable) != len(memories):
        left_out = len(memories) - len(usable)
        uncovered["memories"] = (
            f"{left_out} left out: no question of their own, or the question of another memory"
        )
    tasks = [*open_tasks(elder, mine), *closed_tasks(elder, mine), *never_told_tasks(elder, mine)]
    tasks += tool_tasks(mine, templates, tools, system=elder.system)
    arguments: MemoryArguments | None = None
    for tool in sorted(tools, key=lambda tool: tool.name):
        sources = memory_sources(templates, tool.name)
        if sources and tool.name != templates.recall.tool:
            arguments = arguments or MemoryArguments(usable, elder.language)
            lacking = arguments.lacking(sources)
            if lacking is None:
                tasks += memory_tool_tasks(elder, mine, tool, arguments)
            else:
                uncovered[tool.name] = lacking
    return tasks, uncovered


def _in_language(
    questions: Sequence[Question], language: LanguageCode
) -> tuple[LanguageCode, list[Question]]:
    """The questions in an elder's language; where it has neither rules nor wordings, those of the
    language that speaks for it, and which one that is.

    Templates that an elder's own words fill and answer count as the elder's language all the same.
    """
    own = [question for question in questions if question.language == language]
    substitute = rules_for(language).phrases.language
    if substitute == language or any(question.kind == "recall" for question in own):
        return language, own
    filled = {"recall", "template"}
    borrowed = [question for question in questions if question.language == substitute]
    return substitute, [
        replace(question, language=language) if question.kind in filled else question
        for question in borrowed
    ]


def _unknown_of_language(language: LanguageCode, asked_in: LanguageCode) -> dict[str, str]:
    """What is not known of an elder's language, or not said in it; as the data report and the
    metadata have it.
    """
    unknown = {}
    if language not in known_languages():
        unknown["language"] = (
            f"there are no rules for {language!r}: its stop words, names of people, and how it "
            "says that something was "
            "never told are not known, and not checked"
        )
    if asked_in != language:
        unknown["wordings"] = (
            f"the wordings file has none in {language!r}: questions, and replies that something "
            "was never told, are in "
            f"{rules_for(asked_in).name}"
        )
    if (phrases := rules_for(language).phrases.language) != language:
        unknown["phrases"] = (
            f"{language!r} has none: our system prompt and fixed phrases are in "
            f"{rules_for(phrases).name}"
        )
    return unknown


def _unanswered(
    questions: Sequence[Question], memories: Sequence[Memory], config: RowsConfig
) -> list[Question]:
    """Questions of the questionnaire that the elder never answered, the first of them by hash, as
    never told.
    """
    answered = {" ".join(memory.question.split()) for memory in memories}
    open_ones = [
        question
        for question in questions
        if question.kind == "questionnaire" and question.text not in answered
    ]
    first = sorted(open_ones, key=lambda question: stable_hash("questionnaire", question.id))[
        : config.questionnaire_questions
    ]
    return [replace(question, kind="abstention") for question in first]


def _usable(memories: Sequence[Memory]) -> list[Memory]:
    """Memories that can be asked for: with a question, and the first of those with the same
    question.
    """
    by_question: dict[str, Memory] = {}
    for memory in sorted(memories, key=lambda memory: memory.memory_id):
        if memory.question.strip() and memory.answer.strip():
            by_question.setdefault(" ".join(memory.question.split()), memory)
    return list(by_question.values())
