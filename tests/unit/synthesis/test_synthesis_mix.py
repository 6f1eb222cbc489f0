"""The mix of an elder's rows."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent_assets.conversations.formats import from_swift, to_openai, to_sharegpt
from agent_assets.conversations.items import ItemKind
from agent_assets.conversations.messages import Message
from agent_assets.errors import ConfigError, TrainingDataError
from agent_assets.synthesis.config import MixConfig
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.mixture import general_rows, mix_rows
from agent_assets.synthesis.tasks.script import Script, fixed_answer
from agent_assets.synthesis.tasks.task import Task
from support.synthesis_cases import PRICE


def examples(kind: ItemKind, count: int) -> list[Example]:
    made_examples = []
    for number in range(count):
        question = Question(f"{kind}-{number}", f"{number}?", "en", (), "train", "w", True)
        task = Task(question, kind, "", (PRICE,), Script((), fixed_answer("")))
        made_examples.append(Example(task, (Message("user", "?"), Message("assistant", "!")), ()))
    return made_examples


GENERAL = general_rows(None, "en")


def test_parts_come_out_in_their_shares() -> None:
    every = examples("recall_open", 100) + examples("tool", 80) + examples("abstention", 30)
    mixed = mix_rows(every, GENERAL, MixConfig(), seed=1)
    assert mixed.farthest(MixConfig()) < 0.01
    assert mixed.left_out["persona"] == 0 and mixed.left_out["tools"] == 20
    assert len(mixed.general) == 20
    again = mix_rows(every[::-1], GENERAL, MixConfig(), seed=1)
    assert {example.task.question.id for example in again.examples} == {
        example.task.question.id for example in mixed.examples
    }


@given(
    counts=st.tuples(*[st.integers(20, 200)] * 3),
    weights=st.tuples(*[st.integers(0, 10)] * 4).filter(lambda weights: sum(weights) > 0),
)
def test_any_shares_are_kept_as_far_as_whole_rows_can(
    counts: tuple[int, ...], weights: tuple[int, ...]
) -> None:
    shares = [weight / sum(weights) for weight in weights]
    shares[weights.index(max(weights))] += 1 - sum(shares)
    config = MixConfig(persona=shares[0], tools=shares[1], abstention=shares[2], general=shares[3])
    kinds: tuple[ItemKind, ...] = ("recall_open", "tool", "abstention")
    every = [
        example
        for kind, count in zip(kinds, counts, strict=True)
        for example in examples(kind, count)
    ]
    mixed = mix_rows(every, GENERAL, config, seed=1)
    size = len(mixed.examples) + len(mixed.general)
    assert mixed.farthest(config) <= 2 / size
    # Nothing more fits: one part is used up, or all but a rounding of it.
    assert min(left for part, left in mixed.left_out.items() if config.shares()[part]) <= 1


def test_one_more_row_moves_few_others() -> None:
    others = examples("tool", 80) + examples("abstention", 30)
    before, after = (
        mix_rows(examples("recall_open", n) + others, GENERAL, MixConfig(), seed=1)
        for n in (60, 61)
    )
    gone = {example.task.question.id for example in before.examples} - {
        example.task.question.id for example in after.examples
    }
    assert not gone


def test_a_part_that_is_missing_is_said() -> None:
    with pytest.raises(TrainingDataError, match="wants rows of abstention"):
        mix_rows(examples("recall_open", 5) + examples("tool", 5), GENERAL, MixConfig(), seed=1)
    with pytest.raises(ValidationError, match=r"make 1\.1, not 1"):
        MixConfig(persona=0.6)


def test_general_rows_of_a_file_in_any_format(tmp_path: Path) -> None:
    path = tmp_path / "general.jsonl"
    conversation = from_swift(GENERAL[0])
    rows = [to_sharegpt(conversation), to_openai(from_swift(GENERAL[1])), GENERAL[2]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [row["messages"] for row in general_rows(path, "en")] == [
        row["messages"] for row in GENERAL[:3]
    ]
    odd = {
        "messages": [{"role": "user", "content": "a\u2028b"}, {"role": "assistant", "content": "c"}]
    }
    path.write_text(json.dumps(odd, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert [row["messages"] for row in general_rows(path, "en")] == [odd["messages"]]
    path.write_bytes("Zoë".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        general_rows(path, "en")
    path.write_text('{"messages": 5}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"Line 1 of general\.jsonl"):
        general_rows(path, "en")
