"""Tasks from questions that are asked as they stand."""

from collections.abc import Iterable, Mapping, Sequence

from agent_assets.conversations.messages import ToolSchema
from agent_assets.synthesis.exchanges import Task
from agent_assets.synthesis.question_files import Question
from agent_assets.synthesis.scripted_teacher import Script, result_answer
from agent_assets.synthesis.seeds import stable_hash
from agent_assets.synthesis.wording_files import ToolWords, WordingsFile
from agent_assets.synthesis.wordings import say


def tool_tasks(
    questions: Iterable[Question], words: WordingsFile, tools: Sequence[ToolSchema], *, system: str
) -> list[Task]:
    """One task per question of kind `tool`, all tools offered."""
    return [
        Task(question, "tool", system, tuple(tools), tool_script(question, words))
        for question in questions
        if question.kind == "tool"
    ]


def tool_script(question: Question, words: WordingsFile) -> Script:
    """The gold calls of a question, and an answer template of the file with their arguments in words."""
    call = question.gold_calls[0]
    templates = words.tools.get(call["name"], ToolWords()).language(question.language).answers
    template = templates[stable_hash("answer", question.id) % len(templates)] if templates else None
    said: Mapping[str, str] = {
        name: say(value, words, call["name"], name, question.language) for name, value in call["arguments"].items()
    }
    return Script(question.gold_calls, result_answer(template, said, question.language))
