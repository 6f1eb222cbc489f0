"""What a question is, and the files that carry questions between stages.

Kinds: `tool` is asked as it stands; `recall` and `template` are templates that each elder's
memories fill; `abstention` asks for what nobody told, or what no tool can answer (then `tools` is
empty); `questionnaire` is asked of every elder, who may have answered it or not.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from agent_assets.conversations.messages import JsonObject, canonical_json
from agent_assets.text.languages.rules import LanguageCode

Split = Literal["train", "heldout"]
QuestionKind = Literal["tool", "recall", "template", "abstention", "questionnaire"]

QUESTIONS_FILE, QUESTIONS_TEXT, UNCOVERED_FILE = (
    "questions.jsonl",
    "questions.txt",
    "uncovered.json",
)


@dataclass(frozen=True)
class Question:
    """One question, or a template that an elder's memories fill.

    Args:
        id: stable; names tool, language, use and number.
        text: what is asked.
        language: its ISO 639 code.
        tools: names of the tools that answer it.
        split: `train` or `heldout`.
        wording: id of the wording it was made from.
        wording_seen: whether training uses that wording.
        gold_calls: `{name, arguments}` of every call that answers it; empty for templates.
        kind: see the module.
        difficulty: 1 to 5.
    """

    id: str
    text: str
    language: LanguageCode
    tools: tuple[str, ...]
    split: Split
    wording: str
    wording_seen: bool
    gold_calls: tuple[JsonObject, ...] = ()
    kind: QuestionKind = "tool"
    difficulty: int = 1


def write_questions(folder: Path, questions: Iterable[Question]) -> None:
    """Write `questions.jsonl`; the bare texts one per line as `questions.txt`, and of each language
    as `questions.<language>.json` (`{language, count, questions}`).
    """
    questions = list(questions)
    lines = [canonical_json(asdict(question)) for question in questions]
    (folder / QUESTIONS_FILE).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    texts = [" ".join(question.text.split()) for question in questions]
    (folder / QUESTIONS_TEXT).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    for language in sorted({question.language for question in questions}):
        own = [
            text
            for text, question in zip(texts, questions, strict=True)
            if question.language == language
        ]
        listed = {"language": language, "count": len(own), "questions": own}
        text = json.dumps(listed, ensure_ascii=False, indent=2)
        (folder / f"questions.{language}.json").write_text(text + "\n", encoding="utf-8")


def read_questions(folder: Path) -> list[Question]:
    """Read what `write_questions` wrote."""
    questions = []
    with (folder / QUESTIONS_FILE).open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            fields |= {"tools": tuple(fields["tools"]), "gold_calls": tuple(fields["gold_calls"])}
            questions.append(Question(**fields))
    return questions


def write_uncovered(folder: Path, uncovered: Mapping[str, str]) -> None:
    """Write `uncovered.json`: tools that no question can be made for, and why."""
    text = json.dumps(dict(uncovered), ensure_ascii=False, indent=2, sort_keys=True)
    (folder / UNCOVERED_FILE).write_text(text + "\n", encoding="utf-8")


def read_uncovered(folder: Path) -> dict[str, str]:
    """Read what `write_uncovered` wrote."""
    return dict(json.loads((folder / UNCOVERED_FILE).read_text(encoding="utf-8")))
