"""Questions: nothing held out is trained on, and what is added moves nothing."""

import json
from pathlib import Path

import pytest

from agent_assets.conversations.messages import ToolCall, ToolSchema, canonical_json
from agent_assets.conversations.validation import validate_call
from agent_assets.errors import ConfigError, TrainingDataError
from agent_assets.synthesis.config import QuestionsConfig
from agent_assets.synthesis.questions.question import Question, read_questions
from agent_assets.synthesis.questions.questions import generate_questions, make_questions
from agent_assets.synthesis.wordings import (
    LanguageTemplates,
    TemplatesFile,
    ToolTemplates,
    read_templates,
)
from support.synthesis_cases import (
    ELDER_WORDINGS,
    ENERGY_WORDINGS,
    ID_TOOL,
    PRICE,
    SEARCH,
    SWITCH,
    TODAY,
)

WORDS = TemplatesFile(
    tools={
        "get_price": ToolTemplates(
            languages={
                "en": LanguageTemplates(
                    questions=[
                        f"Wording {number}: {{place}}, {{start_date}}, {{end_date}}?"
                        for number in range(8)
                    ]
                )
            }
        )
    }
)


def generate(
    tools: list[ToolSchema], templates: TemplatesFile = WORDS, **config: object
) -> list[Question]:
    return generate_questions(tools, templates, QuestionsConfig.model_validate(config))[0]


def arguments(questions: list[Question], split: str) -> set[str]:
    return {
        canonical_json(q.gold_calls)
        for q in questions
        if q.split == split and q.gold_calls[0]["arguments"]
    }


def test_held_out_questions_share_neither_text_nor_arguments_with_training() -> None:
    questions = generate([PRICE, TODAY, SWITCH], languages=["en", "zh"])
    texts = [question.text for question in questions]
    assert len(texts) == len(set(texts))
    assert not arguments(questions, "train") & arguments(questions, "heldout")
    assert {q.wording for q in questions if q.split == "train"}.isdisjoint(
        q.wording for q in questions if not q.wording_seen
    )
    price = [q for q in questions if q.tools == ("get_price",) and q.language == "en"]
    assert [
        sum(q.split == "train" for q in price),
        sum(q.wording_seen and q.split == "heldout" for q in price),
        sum(not q.wording_seen for q in price),
    ] == [60, 16, 16]


def test_every_gold_call_fits_its_tool() -> None:
    tools = [PRICE, TODAY, SWITCH]
    for question in generate(tools, languages=["en", "zh"]):
        for call in question.gold_calls:
            assert validate_call(ToolCall(call["name"], call["arguments"], "1"), tools) == []


def test_more_questions_and_more_tools_move_nothing() -> None:
    few = {question.id: question for question in generate([PRICE], per_tool=10, heldout_per_tool=3)}
    many = {
        question.id: question
        for question in generate([TODAY, SWITCH, PRICE], per_tool=30, heldout_per_tool=9)
    }
    assert few.items() <= many.items()


def test_another_seed_asks_other_things() -> None:
    assert arguments(generate([PRICE], seed=1), "train") != arguments(
        generate([PRICE], seed=2), "train"
    )


def test_a_tool_without_arguments_is_asked_once_per_wording() -> None:
    questions = generate([TODAY])
    assert all(q.wording_seen is (q.split == "train") for q in questions)
    assert len({q.wording for q in questions}) == len(questions)


def test_a_tool_with_one_possible_argument_is_trained() -> None:
    schema = {"type": "object", "properties": {"on": {"const": True}}, "required": ["on"]}
    for name in ("a", "b", "c", "d", "e", "f"):  # on whichever side the hash puts the one
        questions = generate([ToolSchema(name, "Turn on.", schema)])
        assert any(q.split == "train" for q in questions)
        assert not arguments(questions, "train") & arguments(questions, "heldout")


def test_a_tool_that_cannot_be_asked_for_is_named_with_the_reason() -> None:
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string", "pattern": "^a(?<!a)$"}},
        "required": ["code"],
    }
    questions, uncovered = generate_questions(
        [PRICE, ToolSchema("coded", "", schema)], WORDS, QuestionsConfig()
    )
    assert {name for question in questions for name in question.tools} == {"get_price"}
    assert "pattern" in uncovered["coded"]


def test_files_hold_what_was_made(tmp_path: Path) -> None:
    summary = make_questions(
        tmp_path, tools=[PRICE, TODAY], config=QuestionsConfig(), templates_file=None
    )
    questions = read_questions(tmp_path)
    assert questions == generate_questions([PRICE, TODAY], TemplatesFile(), QuestionsConfig())[0]
    assert (tmp_path / "questions.txt").read_text("utf-8").splitlines() == [
        question.text for question in questions
    ]
    assert summary["questions"] == len(questions) == summary["train"] + summary["heldout"]


def test_no_tools_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"Next: .*mcp_config\.json"):
        make_questions(tmp_path, tools=[], config=QuestionsConfig(), templates_file=None)


def test_the_energy_wordings_fit_the_energy_tools() -> None:
    words = read_templates(ENERGY_WORDINGS)
    assert set(words.tools) == {
        "get_auction_price",
        "get_current_date",
        "get_current_time",
        "get_factory_prices",
        "get_lng_price",
    }


def test_an_elders_questions_are_templates_and_what_was_never_told() -> None:
    questions = generate([SEARCH, ID_TOOL], read_templates(ELDER_WORDINGS), languages=["en", "zh"])
    kinds = {
        kind: [q for q in questions if q.kind == kind]
        for kind in ("recall", "template", "abstention", "tool")
    }
    assert not kinds["tool"]
    assert all("{query}" in q.text for q in kinds["recall"])
    assert all("{memory_id}" in q.text for q in kinds["template"])
    for language, fewest in (("en", 24), ("zh", 16)):
        abstentions = [q for q in kinds["abstention"] if q.language == language]
        assert len(abstentions) >= fewest
        assert {q.split for q in abstentions} == {"train", "heldout"}
        assert (
            next(q for q in kinds["recall"] if q.text == "{query}" and q.language == language).split
            == "train"
        )


def test_a_recall_tool_that_no_server_has_is_an_error() -> None:
    with pytest.raises(ConfigError, match="search_memories"):
        generate([PRICE], read_templates(ELDER_WORDINGS))


def test_lines_are_canonical_json(tmp_path: Path) -> None:
    make_questions(tmp_path, tools=[PRICE], config=QuestionsConfig(), templates_file=None)
    for line in (tmp_path / "questions.jsonl").read_text("utf-8").splitlines():
        assert canonical_json(json.loads(line)) == line
