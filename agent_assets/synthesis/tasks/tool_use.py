"""Tasks from questions that are asked as they stand: those that tools answer, and those that no
tool can answer.
"""

from collections.abc import Iterable, Mapping, Sequence

from agent_assets.conversations.messages import ToolSchema
from agent_assets.conversations.tools import argument_schemas
from agent_assets.errors import ConfigError
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.tasks.script import Script, fixed_answer, result_answer
from agent_assets.synthesis.tasks.task import Task
from agent_assets.synthesis.templates.render import say, slots
from agent_assets.synthesis.wordings import (
    LanguageTemplates,
    TemplatesFile,
    ToolTemplates,
)
from agent_assets.text.languages.rules import rules_for
from agent_assets.text.seeds import stable_hash

RESULT = "result"  # the slot of an answer that every tool has


def tool_tasks(
    questions: Iterable[Question],
    templates: TemplatesFile,
    tools: Sequence[ToolSchema],
    *,
    system: str,
) -> list[Task]:
    """One task per question of kind `tool`, all tools offered.

    Raises:
        ConfigError: an answer of the wordings file has a slot that is not a parameter of its tool.
    """
    for tool in tools:
        _check_answers(tool, templates.tools.get(tool.name, ToolTemplates()))
    return [
        Task(question, "tool", system, tuple(tools), tool_script(question, templates))
        for question in questions
        if question.kind == "tool"
    ]


def unanswerable_tasks(
    questions: Iterable[Question],
    templates: TemplatesFile,
    tools: Sequence[ToolSchema],
    *,
    system: str,
) -> list[Task]:
    """One task per question that no tool can answer, all tools offered, none to be called."""
    tasks = []
    for question in questions:
        if question.kind == "abstention" and not question.tools:
            texts = templates.unanswerable.get(question.language, LanguageTemplates()).answers
            texts = texts or [rules_for(question.language).phrases.cannot]
            answer = texts[stable_hash("answer", question.id) % len(texts)]
            tasks.append(
                Task(question, "abstention", system, tuple(tools), Script((), fixed_answer(answer)))
            )
    return tasks


def tool_script(question: Question, templates: TemplatesFile) -> Script:
    """The gold calls of a question, and an answer template of the file with their arguments in
    words.

    A language model's question has no gold calls: its script is empty, and not used.
    """
    if not question.gold_calls:
        return Script((), fixed_answer(""))
    call = question.gold_calls[0]
    # Of an optional parameter that this question leaves out, an answer cannot speak.
    known = {*call["arguments"], RESULT}
    answers = templates.tools.get(call["name"], ToolTemplates()).language(question.language).answers
    fitting = [text for text in answers if known.issuperset(slots(text))]
    template = fitting[stable_hash("answer", question.id) % len(fitting)] if fitting else None
    spoken: Mapping[str, str] = {
        name: say(value, templates, call["name"], name, question.language)
        for name, value in call["arguments"].items()
    }
    return Script(question.gold_calls, result_answer(template, spoken, question.language))


def _check_answers(tool: ToolSchema, templates: ToolTemplates) -> None:
    known = {*argument_schemas(tool), RESULT}
    for text in (
        answer for language in templates.languages.values() for answer in language.answers
    ):
        if unknown := sorted(set(slots(text)) - known):
            raise ConfigError(
                f"An answer of {tool.name} does not fit: {text!r}; the tool has no parameter "
                f"{unknown}.",
                next_step="correct the slots of that answer in the wordings file.",
            )
