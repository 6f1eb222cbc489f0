"""Questions of a pipeline: what is asked, which calls answer it, and whether training or the
held-out items use it.

Every question has a random generator of its own, keyed by (tool, language, use, number): more
questions or more tools never change those there were. No held-out question shares its text or its
arguments with a training question: a hash of the arguments decides on which side they may be used.
Tools without arguments are exempt from the second rule, and a tool with so few possible arguments
that training would get none is trained and not held out.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agent_assets.conversations.messages import JsonObject, ToolSchema
from agent_assets.errors import ConfigError, TrainingDataError
from agent_assets.llm.client import LlmClient
from agent_assets.synthesis.arguments.pool import CannotSample
from agent_assets.synthesis.config import QuestionsConfig
from agent_assets.synthesis.counts import count
from agent_assets.synthesis.questions.chained import ChainedValues, with_values, write_chained
from agent_assets.synthesis.questions.llm import LlmQuestions, Material, ask_questions
from agent_assets.synthesis.questions.question import Question, write_questions, write_uncovered
from agent_assets.synthesis.questions.scripted import (
    never_told_questions,
    tool_questions,
    unanswerable_questions,
)
from agent_assets.synthesis.templates.render import memory_sources
from agent_assets.synthesis.wordings import TemplatesFile, read_templates
from agent_assets.text.identify import choose_language
from agent_assets.text.languages.rules import LanguageCode, rules_for
from agent_assets.text.seeds import in_share, short_hash


async def ask_llm(
    client: LlmClient,
    *,
    tools: Sequence[ToolSchema],
    config: QuestionsConfig,
    templates_file: Path | None,
    material: Material,
) -> LlmQuestions:
    """Questions by a language model for every tool that memories do not fill.

    Raises:
        ConfigError: the wordings file is wrong.
        LlmError: the model cannot be asked.
    """
    templates = read_templates(templates_file)
    filled = frozenset(tool.name for tool in tools if memory_sources(templates, tool.name))
    return await ask_questions(
        client,
        tools,
        config,
        material,
        skip=filled | _recall_tool(templates),
        recall=templates.recall,
    )


def generate_questions(
    tools: Sequence[ToolSchema],
    templates: TemplatesFile,
    config: QuestionsConfig,
    *,
    llm_questions: LlmQuestions | None = None,
    questionnaire: Iterable[str] = (),
) -> tuple[list[Question], dict[str, str]]:
    """All questions, sorted by tool, language, use and number; and why a tool has none.

    Args:
        llm_questions: questions of a language model; wordings then serve only what memories fill.
        questionnaire: what all elders are asked, in their own pipelines.

    Raises:
        ConfigError: wordings do not fit the tools.
    """
    questions: list[Question] = []
    uncovered: dict[str, str] = {}
    texts: set[str] = set()
    if llm_questions is not None:
        questions += llm_questions.questions
        texts |= {question.text for question in questions}
    for tool in sorted(tools, key=lambda tool: tool.name):
        if llm_questions is not None and not memory_sources(templates, tool.name):
            continue
        for language in config.languages:
            try:
                questions += tool_questions(tool, templates, language, config, texts)
            except CannotSample as error:
                uncovered[tool.name] = str(error)
    if templates.recall is not None:
        if templates.recall.tool not in {tool.name for tool in tools}:
            raise ConfigError(
                f"The wordings ask for memories with the tool {templates.recall.tool!r}, which no "
                "server has.",
                next_step="correct recall.tool, or enable its server in mcp_config.json.",
            )
        for language in config.languages:
            questions += never_told_questions(templates, language, config, texts)
        questions += _questionnaire(templates, config, questionnaire, texts)
    elif llm_questions is None:
        for language in config.languages:
            questions += unanswerable_questions(templates, language, config, texts)
    return questions, uncovered


def make_questions(
    folder: Path,
    *,
    tools: Sequence[ToolSchema],
    config: QuestionsConfig,
    templates_file: Path | None,
    llm_questions: LlmQuestions | None = None,
    questionnaire: Iterable[str] = (),
    chained: ChainedValues | None = None,
) -> JsonObject:
    """Write questions.jsonl, questions.txt and questions.<language>.json into `folder`; returns
    counts.

    Args:
        chained: values that tools gave, where the wordings take them from tools.

    Raises:
        ConfigError: the wordings file is wrong or does not fit the tools.
        TrainingDataError: there is not one training question.
    """
    chained = chained or ChainedValues()
    questions, uncovered = generate_questions(
        [tool for tool in tools if tool.name not in chained.lacking],
        with_values(read_templates(templates_file), chained),
        config,
        llm_questions=llm_questions,
        questionnaire=questionnaire,
    )
    uncovered |= chained.lacking
    if llm_questions is not None:
        uncovered |= llm_questions.uncovered
    if not any(question.split == "train" for question in questions):
        reasons = (
            "; ".join(f"{name}: {reason}" for name, reason in uncovered.items())
            or "there are no tools"
        )
        raise TrainingDataError(
            f"No questions could be made for {len(tools)} tools ({reasons}).",
            next_step="enable a tool server in mcp_config.json, or give values for its "
            "parameters in the wordings.",
        )
    write_questions(folder, questions)
    write_uncovered(folder, uncovered)
    write_chained(folder, chained)
    by_tool = {tool.name: 0 for tool in tools}
    for question in questions:
        for name in question.tools:
            by_tool[name] += 1
    return {
        "questions": len(questions),
        "train": sum(question.split == "train" for question in questions),
        "heldout": sum(question.split == "heldout" for question in questions),
        "by_tool": by_tool,
        "by_kind": count(question.kind for question in questions),
        "by_language": count(question.language for question in questions),
        "borrowed_phrases": _borrowed_phrases(config.languages),
        "by_difficulty": count(str(question.difficulty) for question in questions),
        "uncovered": uncovered,
        "dropped": {} if llm_questions is None else dict(sorted(llm_questions.dropped.items())),
    }


def _borrowed_phrases(languages: Iterable[LanguageCode]) -> dict[LanguageCode, LanguageCode]:
    """Languages in which nobody wrote what is asked where no wordings ask it, and which language it
    is asked in.
    """
    spoken = {language: rules_for(language).phrases.language for language in languages}
    return {language: other for language, other in spoken.items() if other != language}


def _recall_tool(templates: TemplatesFile) -> frozenset[str]:
    return frozenset() if templates.recall is None else frozenset({templates.recall.tool})


def _questionnaire(
    templates: TemplatesFile, config: QuestionsConfig, texts: Iterable[str], taken: set[str]
) -> Iterator[Question]:
    """What all elders are asked, in the languages of the pipeline, split by the hash of each
    text.
    """
    assert templates.recall is not None, "called only with one"
    for text in sorted({" ".join(text.split()) for text in texts} - taken):
        language = choose_language(text, config.languages)
        if text and language is not None:
            heldout = in_share(config.unseen_share, "split", text)
            yield Question(
                id=f"questionnaire.{language}.{short_hash('questionnaire', text)}",
                text=text,
                language=language,
                tools=(templates.recall.tool,),
                split="heldout" if heldout else "train",
                wording="questionnaire",
                wording_seen=not heldout,
                gold_calls=(
                    {
                        "name": templates.recall.tool,
                        "arguments": {templates.recall.parameter: text},
                    },
                ),
                kind="questionnaire",
                difficulty=3,
            )
