"""Questions of one tool in one language, and questions whose answer nobody told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent_assets.conversations.messages import JsonObject, ToolSchema, canonical_json
from agent_assets.conversations.tools import argument_schemas
from agent_assets.synthesis.arguments.sampler import sample_arguments
from agent_assets.synthesis.config import QuestionsConfig
from agent_assets.synthesis.questions.difficulty import call_difficulty
from agent_assets.synthesis.questions.question import Question, Split
from agent_assets.synthesis.templates.fallback import fallback_templates, fill_fallback
from agent_assets.synthesis.templates.render import (
    QuestionTemplate,
    fill,
    memory_sources,
    pools,
    split_templates,
    tool_templates,
)
from agent_assets.synthesis.wordings import LanguageTemplates, TemplatesFile
from agent_assets.text.languages.rules import LanguageCode
from agent_assets.text.seeds import in_share, seeded, short_hash

HELDOUT_ARGUMENTS_SHARE = 0.25
ATTEMPTS = 50  # to find arguments that were not used yet


def is_heldout(tool: str, arguments: JsonObject) -> bool:
    """Whether arguments belong to held-out items."""
    return in_share(HELDOUT_ARGUMENTS_SHARE, "side", tool, canonical_json(arguments))


def tool_questions(
    tool: ToolSchema,
    templates: TemplatesFile,
    language: LanguageCode,
    config: QuestionsConfig,
    texts: set[str],
) -> list[Question]:
    """Training questions, then held-out ones; templates for a tool that each elder's memories fill.

    Args:
        texts: all texts taken so far; what is made is added.

    Raises:
        CannotSample: a required parameter has a schema that nothing can be made from.
        ConfigError: a wording does not fit the tool.
    """
    question_templates = tool_templates(templates, tool, language, unseen_share=config.unseen_share)
    if memory_sources(templates, tool.name):
        return list(_templates(tool, templates, language, question_templates))
    question_templates = question_templates or fallback_templates(
        tool, language, unseen_share=config.unseen_share
    )
    seen, unseen = (
        [template for template in question_templates if template.seen is kind]
        for kind in (True, False)
    )
    maker = _Maker(tool, templates, language, config.seed, texts)
    if not argument_schemas(tool):
        train = _Use("t", "train", config.per_tool_without_arguments)
        heldout = _Use("u", "heldout", config.heldout_per_tool_without_arguments)
        return [
            *maker.ask(train, seen, split_by_hash=False),
            *maker.ask(heldout, unseen, split_by_hash=False),
        ]
    train = _Use("t", "train", config.per_tool)
    trained = list(maker.ask(train, seen))
    if not trained:
        # So few possible arguments that all of them are on the held-out side: training takes them.
        return list(maker.ask(train, seen, split_by_hash=False))
    held_seen = maker.ask(_Use("s", "heldout", config.heldout_per_tool), seen)
    held_unseen = maker.ask(_Use("u", "heldout", config.heldout_per_tool), unseen)
    return [*trained, *held_seen, *held_unseen]


@dataclass(frozen=True)
class _Use:
    """What a run of questions is for."""

    name: str
    split: Split
    count: int


@dataclass(frozen=True)
class _Maker:
    """Makes the questions of one tool in one language; `texts` are all texts that are taken."""

    tool: ToolSchema
    templates: TemplatesFile
    language: LanguageCode
    seed: int
    texts: set[str]

    def ask(
        self, use: _Use, templates: Sequence[QuestionTemplate], *, split_by_hash: bool = True
    ) -> Iterator[Question]:
        """Questions of one use, wordings taking turns. `split_by_hash` keeps arguments on the
        side of their split.

        Fewer come out where neither new arguments nor a new text are found.
        """
        used: set[str] = set()
        failed = 0
        for number in range(use.count):
            if failed == len(templates):  # each wording failed in turn: nothing new is left
                return
            template = templates[number % len(templates)]
            rng = seeded(self.seed, self.tool.name, self.language, use.name, number)
            failed += 1
            for _ in range(ATTEMPTS):
                arguments = sample_arguments(
                    self.tool,
                    pools(self.templates, self.tool),
                    rng,
                    names=template.arguments,
                    one_day=template.one_day,
                )
                text, key = self._text(template, arguments), canonical_json(arguments)
                # Training may ask for the same in two wordings; every held-out item asks for
                # something else.
                fits = not split_by_hash or is_heldout(self.tool.name, arguments) is (
                    use.split == "heldout"
                )
                if (
                    fits
                    and text not in self.texts
                    and not (split_by_hash and use.split == "heldout" and key in used)
                ):
                    failed = 0
                    used.add(key)
                    self.texts.add(text)
                    yield self._question(use, number, template, text, arguments)
                    break

    def _text(self, template: QuestionTemplate, arguments: JsonObject) -> str:
        if template.arguments is None:
            return fill_fallback(template.text, arguments, self.tool, self.language)
        return fill(template.text, arguments, self.templates, self.tool, self.language)

    def _question(
        self, use: _Use, number: int, template: QuestionTemplate, text: str, arguments: JsonObject
    ) -> Question:
        call = {"name": self.tool.name, "arguments": arguments}
        return Question(
            id=f"{self.tool.name}-{self.language}-{use.name}{number:03d}",
            text=text,
            language=self.language,
            tools=(self.tool.name,),
            split=use.split,
            wording=template.id,
            wording_seen=template.seen,
            gold_calls=(call,),
            difficulty=call_difficulty([call], {self.tool.name: self.tool}, asks_more=False),
        )


def _templates(
    tool: ToolSchema,
    templates: TemplatesFile,
    language: LanguageCode,
    question_templates: Sequence[QuestionTemplate],
) -> Iterator[Question]:
    recall = templates.recall is not None and templates.recall.tool == tool.name
    for template in question_templates:
        yield Question(
            id=template.id,
            text=template.text,
            language=language,
            tools=(tool.name,),
            split="train" if template.seen else "heldout",
            wording=template.id,
            wording_seen=template.seen,
            kind="recall" if recall else "template",
            difficulty=2 + bool(argument_schemas(tool)),
        )


def never_told_questions(
    templates: TemplatesFile, language: LanguageCode, config: QuestionsConfig, texts: set[str]
) -> Iterator[Question]:
    """Questions that search finds nothing for, a share of them held out."""
    recall = templates.recall
    assert recall is not None, "called only with one"
    texts_of_language = recall.never_told.get(language, LanguageTemplates()).questions
    for question in _abstentions(
        "never_told", "never_told", texts_of_language, language, config, texts
    ):
        calls = ({"name": recall.tool, "arguments": {recall.parameter: question.text}},)
        yield replace(question, tools=(recall.tool,), gold_calls=calls, difficulty=3)


def unanswerable_questions(
    templates: TemplatesFile, language: LanguageCode, config: QuestionsConfig, texts: set[str]
) -> Iterator[Question]:
    """Questions of the wordings file that no tool can answer, a share of them held out."""
    texts_of_language = templates.unanswerable.get(language, LanguageTemplates()).questions
    yield from _abstentions("unanswerable", "none", texts_of_language, language, config, texts)


def _abstentions(
    name: str,
    salt: str,
    candidates: Sequence[str],
    language: LanguageCode,
    config: QuestionsConfig,
    texts: set[str],
) -> Iterator[Question]:
    """Questions to be answered with "never told" or "cannot", without calls; no text twice.

    Args:
        name: of the wordings; `salt` is what their ids are hashed with.
        texts: of all questions so far; these are added.
    """
    all_templates = [
        QuestionTemplate(
            f"{name}.{language}.{short_hash(salt, language, text)}",
            text,
            frozenset(),
            one_day=False,
        )
        for text in candidates
        if text not in texts
    ]
    for template in split_templates(
        all_templates, key=f"{name}|{language}", unseen_share=config.unseen_share
    ):
        texts.add(template.text)
        yield Question(
            id=template.id,
            text=template.text,
            language=language,
            tools=(),
            split="train" if template.seen else "heldout",
            wording=template.id,
            wording_seen=template.seen,
            kind="abstention",
            difficulty=2,
        )
