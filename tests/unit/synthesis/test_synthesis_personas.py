"""Tasks of one elder: what is told is asked, what is held out is not trained, what cannot be used
is said.
"""

from dataclasses import replace

import pytest

from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.errors import ConfigError, MemoryDataError, TrainingDataError
from agent_assets.synthesis.arguments.from_memories import people, remembered_years
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.questions.questions import generate_questions
from agent_assets.synthesis.tasks.all_tasks import elder_tasks
from agent_assets.synthesis.tasks.task import Task
from agent_assets.synthesis.wordings import TemplatesFile, read_templates
from support.synthesis_cases import ELDER_WORDINGS, ID_TOOL, SEARCH

WORDS = read_templates(ELDER_WORDINGS)
TOOLS = [ID_TOOL, SEARCH]
QUESTIONS, _ = generate_questions(TOOLS, WORDS, QuestionsConfig(languages=["en", "zh"]))
ANN = ElderProfile("ann", "Ann")
MEMORIES = [
    Memory(f"m-{number:02d}", f"What about thing {number}?", f"Thing {number} was good.")
    for number in range(24)
]


def tasks(
    memories: list[Memory],
    profile: ElderProfile = ANN,
    templates: TemplatesFile = WORDS,
    questions: list[Question] = QUESTIONS,
    **config: object,
) -> tuple[list[Task], dict[str, str]]:
    settings = RowsConfig.model_validate(config)
    return elder_tasks(
        questions, templates, TOOLS, profile, memories, config=settings, system_prompt=None
    )


def of(all_tasks: list[Task], kind: str, split: str) -> list[Task]:
    return [task for task in all_tasks if task.kind == kind and task.question.split == split]


def test_looking_up_is_tested_on_memories_that_training_never_looks_up() -> None:
    all_tasks, _ = tasks(MEMORIES)
    looked_up = {task.memory_ids for task in of(all_tasks, "recall_open", "train")}
    heldout = {task.memory_ids for task in of(all_tasks, "recall_open", "heldout")}
    assert looked_up
    assert heldout
    assert not looked_up & heldout
    assert {task.memory_ids for task in of(all_tasks, "recall_closed", "train")} == {
        (m.memory_id,) for m in MEMORIES
    }
    for kind in ("recall_open", "recall_closed"):
        assert all(not task.question.wording_seen for task in of(all_tasks, kind, "heldout"))


def test_no_text_is_both_trained_and_held_out() -> None:
    all_tasks, _ = tasks(MEMORIES)
    train = {
        (task.question.text, bool(task.tools))
        for task in all_tasks
        if task.question.split == "train"
    }
    heldout = {
        (task.question.text, bool(task.tools))
        for task in all_tasks
        if task.question.split == "heldout"
    }
    assert not train & heldout


def test_closed_book_questions_come_without_tools_and_cite_nothing() -> None:
    for task in tasks(MEMORIES)[0]:
        assert bool(task.tools) is (task.kind != "recall_closed")
        if task.kind == "recall_closed":
            assert task.script.calls == ()
            assert "[" not in task.script.answer([])


def test_a_new_memory_moves_no_other_training_question() -> None:
    before = {
        task.question.id: task.question
        for task in of(tasks(MEMORIES[:-1])[0], "recall_open", "train")
    }
    after = {
        task.question.id: task.question for task in of(tasks(MEMORIES)[0], "recall_open", "train")
    }
    assert before.items() <= after.items()


def test_one_memory_is_enough() -> None:
    all_tasks, uncovered = tasks(MEMORIES[:1])
    assert of(all_tasks, "recall_open", "train")
    assert of(all_tasks, "recall_open", "heldout")
    assert uncovered == {}


def test_memories_that_cannot_be_asked_for_are_counted() -> None:
    same = [
        replace(MEMORIES[0], memory_id="m-99"),
        replace(MEMORIES[0], memory_id="m-98", question=" "),
    ]
    all_tasks, uncovered = tasks([*MEMORIES[:3], *same])
    assert {memory for task in all_tasks if task.kind != "tool" for memory in task.memory_ids} == {
        "m-00",
        "m-01",
        "m-02",
    }
    assert uncovered["memories"].startswith("2 left out")
    with pytest.raises(MemoryDataError, match="ann has 1 memories") as error:
        tasks(MEMORIES[:1], min_memories=5)
    assert "Thing" not in str(error.value)


def test_an_elder_whose_language_nobody_asks_in_is_an_error() -> None:
    english = [question for question in QUESTIONS if question.language == "en"]
    with pytest.raises(TrainingDataError, match=r"zh.*Next: add zh to questions\.languages"):
        tasks(MEMORIES, replace(ANN, language="zh"), questions=english)


def test_an_elder_without_wordings_in_their_language_is_asked_in_english_and_that_is_said() -> None:
    french = [
        Memory(f"m-{n}", f"Où était la maison {n} ?", f"La maison {n} était à Lyon.")
        for n in range(9)
    ]
    all_tasks, uncovered = tasks(french, replace(ANN, language="fr"))
    assert {name: "'fr'" in why for name, why in uncovered.items()} == dict.fromkeys(
        ("language", "wordings", "phrases"), True
    )
    assert "English" in uncovered["wordings"]
    # What is answered in French counts as French, and is judged so; replies of the wordings file
    # are English.
    assert {task.question.language for task in all_tasks if task.kind.startswith("recall")} == {
        "fr"
    }
    assert {task.question.language for task in all_tasks if task.kind == "abstention"} == {"en"}
    answers = {task.script.answer([]) for task in of(all_tasks, "recall_closed", "train")}
    assert "La maison 3 était à Lyon." in answers


def test_known_languages_have_nothing_to_say_about_themselves() -> None:
    assert tasks(MEMORIES)[1] == {}
    assert tasks(MEMORIES, replace(ANN, language="zh"))[1] == {}


def test_wordings_that_do_not_ask_for_memories_are_an_error() -> None:
    with pytest.raises(ConfigError, match="recall"):
        tasks(MEMORIES, templates=TemplatesFile())


def test_what_was_never_told_is_asked_in_the_wordings_of_what_was() -> None:
    all_tasks, _ = tasks(MEMORIES)
    wrapped = {task.question.wording for task in of(all_tasks, "abstention", "train")}
    assert (
        len(wrapped & {task.question.wording for task in of(all_tasks, "recall_open", "train")}) > 3
    )


def test_words_of_a_relative_are_told_as_theirs() -> None:
    all_tasks, _ = tasks([replace(MEMORIES[0], relationship="family")])
    assert (
        of(all_tasks, "recall_closed", "train")[0].script.answer([])
        == "My family tells it so: Thing 0 was good."
    )


def test_braces_in_a_memory_are_text() -> None:
    odd = Memory("m-1", "What is {query} or {0}?", "It is {name}.")
    all_tasks, _ = tasks([odd])
    assert any("What is {query} or {0}?" in task.question.text for task in all_tasks)


def test_people_and_years_are_found_in_both_languages() -> None:
    english = [
        Memory(
            "1",
            "q",
            "My brother James came in 1717. Mr. Read left. I read a book, page 2100 and 99999.",
        )
    ]
    assert people(english, "en") == ["James"]
    assert remembered_years(english) == [1717, 2100] or remembered_years(english) == [1717]
    chinese = [Memory("1", "q", "父亲托付给盟弟蒋思斋先生。女儿叫素云，1781年生。")]
    assert people(chinese, "zh") == ["素云", "蒋思斋"]
    assert remembered_years(chinese) == [1781]
