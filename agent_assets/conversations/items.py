"""One held-out item: a question, and what a right reply to it calls, states and cites."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from agent_assets.conversations.messages import JsonObject, Message, canonical_json

ItemKind = Literal["tool", "recall_open", "recall_closed", "abstention", "conversation"]
WordingKind = Literal["seen", "unseen"]


@dataclass(frozen=True)
class EvalItem:
    """A held-out question with its gold reply.

    Args:
        id: unique within a file.
        kind: `tool` (calls are judged), `recall_open` (a memory, with tools), `recall_closed` (a
            memory, asked without tools), `abstention` (never told: the right reply says so),
            `conversation` (a turn of an exam, see evaluation/conversation.py).
        wording: whether training used the same wording with other arguments.
        language: ISO 639 code.
        system: the system prompt it is asked under, "" for none.
        gold_calls: `{name, arguments}` of every right call. Empty for recall: any search that finds
            it is right.
        gold_answer: a right final answer.
        gold_values: texts a right answer states: the values that the tools return.
        memory_ids: memories the answer rests on, to be cited.
        tool: the tool the item is about; None without tools.
    """

    id: str
    kind: ItemKind
    wording: WordingKind
    language: str
    question: str
    system: str
    gold_calls: list[JsonObject] = field(default_factory=list)
    gold_answer: str = ""
    gold_values: list[str] = field(default_factory=list)
    memory_ids: list[str] = field(default_factory=list)
    tool: str | None = None

    @property
    def history(self) -> tuple[Message, ...]:
        """What was said before the question: nothing, except in a conversation."""
        return ()


def write_items(path: Path, items: Iterable[EvalItem]) -> None:
    """Write items as canonical JSON lines, in the given order."""
    path.write_text(
        "".join(canonical_json(asdict(item)) + "\n" for item in items), encoding="utf-8"
    )


def read_items(path: Path) -> list[EvalItem]:
    """Read what `write_items` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [EvalItem(**json.loads(line)) for line in lines]
