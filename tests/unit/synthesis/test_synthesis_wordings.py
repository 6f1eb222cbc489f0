"""Wordings files: what is wrong with one is said, and the split into seen and unseen holds its
floors.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.tasks.tool_use import tool_script, tool_tasks
from agent_assets.synthesis.templates.fallback import fallback_templates, fill_fallback
from agent_assets.synthesis.templates.render import fill, say_value, tool_templates
from agent_assets.synthesis.wordings import (
    LanguageTemplates,
    TemplatesFile,
    ToolTemplates,
    read_templates,
)
from support.synthesis_cases import ELDER_WORDINGS, ENERGY_WORDINGS, PRICE, TODAY


def words(*questions: str, tool: str = "get_price") -> TemplatesFile:
    return TemplatesFile(
        tools={tool: ToolTemplates(languages={"en": LanguageTemplates(questions=list(questions))})}
    )


def texts(count: int) -> list[str]:
    return [f"Wording {number}: {{place}} {{start_date}} {{end_date}}?" for number in range(count)]


def test_an_answer_speaks_of_what_was_asked_alone() -> None:
    optional = "{place} until {end_date}: {result}."
    templates = TemplatesFile(
        tools={
            "get_price": ToolTemplates(
                languages={"en": LanguageTemplates(answers=[optional, "{place}: {result}."])}
            )
        }
    )
    question = Question("q", "?", "en", ("get_price",), "train", "w", True)
    for number in range(8):  # an answer is chosen by the hash of the id
        call = {"name": "get_price", "arguments": {"place": "Rome"}}
        script = tool_script(replace(question, id=f"q{number}", gold_calls=(call,)), templates)
        assert script.answer(["3"]) == "Rome: 3."
    wrong = TemplatesFile(
        tools={
            "get_price": ToolTemplates(
                languages={"en": LanguageTemplates(answers=["{plaec}: {result}."])}
            )
        }
    )
    with pytest.raises(
        ConfigError, match=r"An answer of get_price does not fit: .* no parameter \['plaec'\]"
    ):
        tool_tasks([], wrong, [PRICE], system="")


def test_a_quarter_is_unseen_and_adding_one_moves_at_most_one() -> None:
    before = {
        w.text: w.seen for w in tool_templates(words(*texts(20)), PRICE, "en", unseen_share=0.25)
    }
    after = {
        w.text: w.seen for w in tool_templates(words(*texts(21)), PRICE, "en", unseen_share=0.25)
    }
    assert list(before.values()).count(False) == 5
    assert sum(before[text] is not after[text] for text in before) <= 1


def test_each_set_of_arguments_keeps_a_wording_to_train_with() -> None:
    templates = tool_templates(words(*texts(12), "{place} {day}?"), PRICE, "en", unseen_share=0.9)
    assert next(w for w in templates if w.one_day).seen
    assert any(w.seen for w in templates if not w.one_day)


def test_ids_hang_on_the_text_alone() -> None:
    first = tool_templates(words(*texts(4)), PRICE, "en", unseen_share=0.25)
    again = tool_templates(words(*reversed(texts(4))), PRICE, "en", unseen_share=0.25)
    assert {w.text: w.id for w in first} == {w.text: w.id for w in again}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{place} {start_date}", "end_date"),
        ("{place} {start_date} {end_date} {town}", "town"),
        ("{place} {start_date", "'}'"),
    ],
)
def test_a_wording_that_does_not_fit_its_tool_is_an_error(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"get_price|template") as error:
        tool_templates(words(text), PRICE, "en", unseen_share=0.25)
    assert says in str(error.value)


@pytest.mark.parametrize("text", ["tools: [", "tols: {}", "tools: {a: {en: {question: []}}}"])
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wordings.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"wordings\.yaml"):
        read_templates(path)


def test_values_are_said_as_people_say_them() -> None:
    assert say_value(["A", "B", "C"], "en", {}) == "A, B and C"
    assert say_value(["A", "B", "C"], "zh", {"A": "甲"}) == "甲、B和C"
    assert say_value(["A"], "en", {}) == "A"
    assert say_value(True, "zh", {}) == "是"
    day = {"place": "P1", "start_date": "2025-01-02", "end_date": "2025-01-02"}
    assert fill("{place} on {day}?", day, words(), PRICE, "en") == "P1 on 2025-01-02?"


def test_words_made_from_a_schema_name_task_and_arguments() -> None:
    arguments = {"place": "P1", "start_date": "2025-01-02", "end_date": "2025-01-03"}
    for language in ("en", "zh"):
        for wording in fallback_templates(PRICE, language, unseen_share=0.25):
            text = fill_fallback(wording.text, arguments, PRICE, language)
            assert "aily price of a place" in text
            assert all(value in text for value in arguments.values())
    assert fill_fallback("Please {task}.", {}, TODAY, "en") == "Please today's date."


@pytest.mark.parametrize("path", [ENERGY_WORDINGS, ELDER_WORDINGS])
def test_shipped_files_are_rich_enough(path: Path) -> None:
    for name, tool in read_templates(path).tools.items():
        assert len(set(tool.language("en").questions)) >= 14, name
        assert len(set(tool.language("zh").questions)) >= 8, name
