"""Questions of a pipeline: what is asked, which calls answer it, and whether training or the held-out items use it.

Every question has a random generator of its own, keyed by (tool, language, use, number): more questions or more tools
never change those there were. No held-out question shares its text or its arguments with a training question: a hash
of the arguments decides on which side they may be used. Tools without arguments are exempt from the second rule, and
a tool with so few possible arguments that training would get none is trained and not held out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agent_assets.conversations.messages import ToolSchema
from agent_assets.errors import ConfigError, TrainingDataError
from agent_assets.synthesis.config import QuestionsConfig
from agent_assets.synthesis.question_files import Question, write_questions
from agent_assets.synthesis.question_maker import never_told_questions, tool_questions
from agent_assets.synthesis.sampling import CannotSample
from agent_assets.synthesis.wording_files import WordingsFile, read_wordings


def generate_questions(
    tools: Sequence[ToolSchema], words: WordingsFile, config: QuestionsConfig
) -> tuple[list[Question], dict[str, str]]:
    """All questions, sorted by tool, language, use and number; and why a tool has none.

    Raises:
        ConfigError: wordings do not fit the tools.
    """
    questions: list[Question] = []
    uncovered: dict[str, str] = {}
    texts: set[str] = set()
    for tool in sorted(tools, key=lambda tool: tool.name):
        for language in config.languages:
            try:
                questions += tool_questions(tool, words, language, config, texts)
            except CannotSample as error:
                uncovered[tool.name] = str(error)
    if words.recall is not None:
        if words.recall.tool not in {tool.name for tool in tools}:
            raise ConfigError(
                f"The wordings ask for memories with the tool {words.recall.tool!r}, which no server has.",
                next_step="correct recall.tool, or enable its server in mcp_config.json.",
            )
        for language in config.languages:
            questions += never_told_questions(words, language, config, texts)
    return questions, uncovered


def make_questions(
    folder: Path, *, tools: Sequence[ToolSchema], config: QuestionsConfig, wordings: Path | None
) -> dict[str, Any]:
    """Write questions.jsonl and questions.txt into `folder`; returns counts.

    Raises:
        ConfigError: the wordings file is wrong or does not fit the tools.
        TrainingDataError: there is not one training question.
    """
    questions, uncovered = generate_questions(tools, read_wordings(wordings), config)
    if not any(question.split == "train" for question in questions):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in uncovered.items()) or "there are no tools"
        raise TrainingDataError(
            f"No questions could be made for {len(tools)} tools ({reasons}).",
            next_step="enable a tool server in mcp_config.json, or give values for its parameters in the wordings.",
        )
    write_questions(folder, questions)
    by_tool = {tool.name: 0 for tool in tools}
    for question in questions:
        for name in question.tools:
            by_tool[name] += 1
    return {
        "questions": len(questions),
        "train": sum(question.split == "train" for question in questions),
        "heldout": sum(question.split == "heldout" for question in questions),
        "by_tool": by_tool,
        "by_kind": _counts(question.kind for question in questions),
        "by_language": _counts(question.language for question in questions),
        "uncovered": uncovered,
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
