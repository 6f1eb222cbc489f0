"""What an agent learned from and is judged by, turn by turn, as a reviewer reads it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from agent_assets.conversations.formats import from_swift
from agent_assets.conversations.items import read_items
from agent_assets.conversations.messages import Message, read_json_lines
from agent_assets.reviews.decisions import content_id
from agent_assets.text.answers import final_answer

Place = Literal["training", "heldout", "chat"]
PLACES: tuple[Place, ...] = ("training", "heldout", "chat")
_GENERAL = "general"  # rows that speak for nobody


@dataclass(frozen=True)
class Turn:
    """One turn.

    Args:
        place: `training`, `heldout` or `chat`.
        tools: names of the tools that were called on the way.
        mark: the thumb it has, with reason and comment; None in rows.
        decision: what a reviewer said, None when nobody did.
    """

    content_id: str
    place: Place
    question: str
    answer: str
    tools: tuple[str, ...] = ()
    mark: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None


def turns_of_rows(folder: Path) -> Iterator[Turn]:
    """The turns of a train_jsonl artifact: of its rows, then its held-out items."""
    for row in read_json_lines(folder / "train.jsonl"):
        if row.get("kind") != _GENERAL:
            yield from _turns_of_row(row)
    for item in read_items(folder / "heldout.jsonl"):
        yield Turn(
            content_id(item.question, item.gold_answer),
            "heldout",
            item.question,
            item.gold_answer,
            tuple(str(call["name"]) for call in item.gold_calls),
        )


def turns_of_marks(marks: Iterable[Mapping[str, Any]]) -> Iterator[Turn]:
    """Answers of conversations that have a thumb."""
    for mark in marks:
        number = content_id(mark["question"], mark["answer"])
        yield Turn(number, "chat", mark["question"], mark["answer"], mark=mark)


def with_decisions(turns: Iterable[Turn], decided: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The turns, each once, with what reviewers said of them. A turn that says what a reviewer
    wrote is decided as well.
    """
    by_content: dict[str, Mapping[str, Any]] = {}
    for decision in decided:
        if decision["verdict"] == "edited":
            by_content[content_id(decision["question"], decision["edited"])] = decision
    by_content |= {decision["content_id"]: decision for decision in decided}
    found: dict[tuple[Place, str], Turn] = {}
    for turn in turns:
        decided_turn = replace(turn, decision=by_content.get(turn.content_id))
        found.setdefault((turn.place, turn.content_id), decided_turn)
    return list(found.values())


def _turns_of_row(row: Mapping[str, Any]) -> Iterator[Turn]:
    turn: list[Message] = []
    for message in (*from_swift(dict(row)).messages, None):
        if message is None or message.role in ("user", "system"):
            if turn and (answer := final_answer(turn)):
                tools = tuple(call.name for said in turn for call in said.tool_calls)
                question = turn[0].content
                yield Turn(content_id(question, answer), "training", question, answer, tools)
            turn = []
        if message is not None and message.role != "system":
            turn.append(message)
