"""The exams that ship: complete, resting on what was told, and such that a memory itself is a right
answer and a refusal is not.
"""

from collections import Counter
from pathlib import Path

import pytest

import agent_assets.demo
from agent_assets.conversations.exam import KINDS, ExamTurn, read_exam
from agent_assets.conversations.memories import Memory
from agent_assets.demo.sample_elders import SampleElder, load_sample_elders
from agent_assets.evaluation.exam_judge import Person, judge_turn
from agent_assets.text.languages.rules import rules_for

FOLDER = Path(agent_assets.demo.__file__).parent / "exams"
LEAST = {"told": 26, "broad": 8, "follow_up": 10, "compound": 4, "social": 8, "never": 10}
REFUSALS = {"en": "That is something I never told.", "zh": "这个我从没讲过。"}
ELDERS = load_sample_elders()


def person(elder: SampleElder) -> Person:
    memories = {
        memory.question_id: Memory(
            memory.question_id, memory.question, memory.answer, memory.category
        )
        for memory in elder.memories
    }
    return Person(elder.profile.language, memories, f"You are {elder.profile.name}.")


def turns(elder: SampleElder) -> list[ExamTurn]:
    return read_exam(FOLDER / f"{elder.profile.elder_id}.jsonl")


@pytest.mark.parametrize("elder", ELDERS, ids=lambda elder: elder.profile.elder_id)
def test_each_has_enough_turns_of_each_kind_in_each_half(elder: SampleElder) -> None:
    counts = Counter((turn.kind, turn.half) for turn in turns(elder))
    for kind in KINDS:
        assert counts[kind, "develop"] == counts[kind, "report"] >= LEAST[kind] / 2, kind
    questions = {memory.question.casefold() for memory in elder.memories}
    assert not questions & {turn.question.casefold() for turn in turns(elder)}


@pytest.mark.parametrize("elder", ELDERS, ids=lambda elder: elder.profile.elder_id)
def test_memories_themselves_are_right_answers_and_refusals_are_not(elder: SampleElder) -> None:
    elder_person, wrong = person(elder), []
    space = rules_for(elder_person.language).phrases.sentence_space
    for turn in turns(elder):
        evidence = [elder_person.memories[name].answer for name in turn.evidence]
        refused = judge_turn(turn, REFUSALS[elder_person.language], turn.evidence, elder_person)
        assert refused.right is (turn.kind == "never"), (turn.id, refused.why)
        if evidence:
            quoted = judge_turn(turn, space.join(evidence), turn.evidence, elder_person)
            wrong += [] if quoted.right else [(turn.id, quoted.why)]
    assert wrong == []
