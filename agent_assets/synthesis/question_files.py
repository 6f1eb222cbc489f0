"""What a question is, and the files that carry questions between stages.

Kinds: `tool` is asked as it stands; `recall` and `template` are templates that each elder's memories fill;
`abstention` asks for what nobody told.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from agent_assets.conversations.messages import JsonObject, canonical_json
from agent_assets.synthesis.config import Language

Split = Literal["train", "heldout"]
QuestionKind = Literal["tool", "recall", "template", "abstention"]

QUESTIONS_FILE, QUESTIONS_TEXT = "questions.jsonl", "questions.txt"


@dataclass(frozen=True)
class Question:
    """One question, or a template that an elder's memories fill.

    Args:
        id: stable; names tool, language, use and number.
        text: what is asked.
        language: `en` or `zh`.
        tools: names of the tools that answer it.
        split: `train` or `heldout`.
        wording: id of the wording it was made from.
        wording_seen: whether training uses that wording.
        gold_calls: `{name, arguments}` of every call that answers it; empty for templates.
        kind: see the module.
    """

    id: str
    text: str
    language: Language
    tools: tuple[str, ...]
    split: Split
    wording: str
    wording_seen: bool
    gold_calls: tuple[JsonObject, ...] = ()
    kind: QuestionKind = "tool"


def write_questions(folder: Path, questions: Iterable[Question]) -> None:
    """Write `questions.jsonl`, and the bare texts one per line as `questions.txt`."""
    questions = list(questions)
    lines = [canonical_json(asdict(question)) for question in questions]
    (folder / QUESTIONS_FILE).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    texts = [" ".join(question.text.split()) for question in questions]
    (folder / QUESTIONS_TEXT).write_text("".join(text + "\n" for text in texts), encoding="utf-8")


def read_questions(folder: Path) -> list[Question]:
    """Read what `write_questions` wrote."""
    questions = []
    with (folder / QUESTIONS_FILE).open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            lists = {"tools": tuple(fields["tools"]), "gold_calls": tuple(fields["gold_calls"])}
            questions.append(Question(**{**fields, **lists}))
    return questions
