"""What SFT was trained and scored on: no scenario asks it again."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.items import read_items
from agent_assets.conversations.messages import (
    JsonObject,
    canonical_json,
    read_json_lines,
)
from agent_assets.synthesis.build import HELDOUT_FILE, TRAIN_FILE
from agent_assets.synthesis.questions.question import Question


@dataclass(frozen=True)
class UsedInTraining:
    """What training and held-out items already use: texts of questions, and calls with
    arguments.
    """

    texts: frozenset[str]
    trained_calls: frozenset[str]
    heldout_calls: frozenset[str]

    @classmethod
    def read(cls, rows_folder: Path) -> Self:
        """What the rows and held-out items of a train_jsonl artifact use."""
        texts: set[str] = set()
        trained: set[str] = set()
        for row in read_json_lines(rows_folder / TRAIN_FILE):
            for message in from_swift(row).messages:
                if message.role == "user":
                    texts.add(message.content)
                trained |= {call_key(call.name, call.arguments) for call in message.tool_calls}
        items = read_items(rows_folder / HELDOUT_FILE)
        heldout_calls = {
            call_key(call["name"], call["arguments"]) for item in items for call in item.gold_calls
        }
        return cls(
            frozenset(texts | {item.question for item in items}),
            frozenset(trained),
            frozenset(heldout_calls),
        )


def is_fresh(question: Question, known: UsedInTraining) -> bool:
    """Whether none of its calls was trained or is held out."""
    keys = {
        call_key(call["name"], call["arguments"])
        for call in question.gold_calls
        if call["arguments"]
    }
    return not keys & (known.trained_calls | known.heldout_calls)


def is_held(calls: Iterable[JsonObject], known: UsedInTraining) -> bool:
    """Whether one of these calls is held out."""
    return any(
        call["arguments"] and call_key(call["name"], call["arguments"]) in known.heldout_calls
        for call in calls
    )


def call_key(name: str, arguments: JsonObject) -> str:
    """Equal for equal calls."""
    return canonical_json([name, arguments])
