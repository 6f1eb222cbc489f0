"""Tasks from questions that are asked as they stand: those that tools answer, and those that no tool can answer."""

from collections.abc import Iterable, Mapping, Sequence

from agent_assets.conversations.messages import ToolSchema
from agent_assets.synthesis.config import Language
from agent_assets.synthesis.question_files import Question
from agent_assets.synthesis.scripted_teacher import Script, fixed_answer, result_answer
from agent_assets.synthesis.seeds import stable_hash
from agent_assets.synthesis.tasks import Task
from agent_assets.synthesis.wording_files import LanguageWords, ToolWords, WordingsFile
from agent_assets.synthesis.wordings import say

_CANNOT: Mapping[Language, str] = {"en": "I cannot look that up with my tools.", "zh": "我的工具查不到这个。"}


def tool_tasks(
    questions: Iterable[Question], words: WordingsFile, tools: Sequence[ToolSchema], *, system: str
) -> list[Task]:
    """One task per question of kind `tool`, all tools offered."""
    return [
        Task(question, "tool", system, tuple(tools), tool_script(question, words))
        for question in questions
        if question.kind == "tool"
    ]


def unanswerable_tasks(
    questions: Iterable[Question], words: WordingsFile, tools: Sequence[ToolSchema], *, system: str
) -> list[Task]:
    """One task per question that no tool can answer, all tools offered, none to be called."""
    tasks = []
    for question in questions:
        if question.kind == "abstention" and not question.tools:
            texts = words.unanswerable.get(question.language, LanguageWords()).answers or [_CANNOT[question.language]]
            answer = texts[stable_hash("answer", question.id) % len(texts)]
            tasks.append(Task(question, "abstention", system, tuple(tools), Script((), fixed_answer(answer))))
    return tasks


def tool_script(question: Question, words: WordingsFile) -> Script:
    """The gold calls of a question, and an answer template of the file with their arguments in words.

    A language model's question has no gold calls: its script is empty, and not used."""
    if not question.gold_calls:
        return Script((), fixed_answer(""))
    call = question.gold_calls[0]
    templates = words.tools.get(call["name"], ToolWords()).language(question.language).answers
    template = templates[stable_hash("answer", question.id) % len(templates)] if templates else None
    said: Mapping[str, str] = {
        name: say(value, words, call["name"], name, question.language) for name, value in call["arguments"].items()
    }
    return Script(question.gold_calls, result_answer(template, said, question.language))
