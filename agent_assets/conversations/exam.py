"""An exam: turns as a family would say them, one JSON object a line, and what answers them.

| field | |
|---|---|
| `kind` | `told`, `broad`, `follow_up`, `compound`, `social`, `never` (evaluation/exam_judge.py) |
| `question` | what is said to the agent |
| `history` | earlier messages `{"role": "user"\\|"assistant", "content"}`; none if left out |
| `evidence` | ids of the memories that answer it: memory ids, or ids of the questions they answer |
| `expect` | texts of which a right answer holds one; a list of lists asks for one of each |
| `half` | `develop` (looked at while something is improved) or `report` (only reported) |
| `id` | unique in the file; `line-N` if left out |
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent_assets.errors import ExamError

TurnKind = Literal["told", "broad", "follow_up", "compound", "social", "never"]
Half = Literal["develop", "report"]
KINDS: tuple[TurnKind, ...] = get_args(TurnKind)
_FROM_MEMORIES = ("told", "broad", "follow_up", "compound")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(_Record):
    """An earlier message of the conversation."""

    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class ExamTurn(_Record):
    """One turn; see the module."""

    id: str = ""
    kind: TurnKind
    question: str = Field(min_length=1, pattern=r"\S")
    history: tuple[Said, ...] = ()
    evidence: tuple[str, ...] = ()
    expect: tuple[str, ...] | tuple[tuple[str, ...], ...] = ()
    half: Half | None = None

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Texts of which an answer holds one, for each thing that it has to say."""
        if not self.expect or not isinstance(self.expect[0], str):
            return tuple(group for group in self.expect if isinstance(group, tuple))
        return (tuple(text for text in self.expect if isinstance(text, str)),)

    @property
    def said_before(self) -> tuple[str, ...]:
        """The texts of the history."""
        return tuple(message.content for message in self.history)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "ExamTurn":
        if self.kind in _FROM_MEMORIES and not (self.evidence or self.expect):
            raise ValueError(f"a turn of kind {self.kind} needs evidence or expect")
        if self.kind not in _FROM_MEMORIES and self.evidence:
            raise ValueError(f"a turn of kind {self.kind} rests on no memory: leave evidence empty")
        if self.kind == "follow_up" and not self.history:
            raise ValueError("a follow_up needs the history that it follows")
        if self.kind == "compound" and max(len(self.groups), len(self.evidence)) < 2:
            raise ValueError("a compound needs two lists in expect, or two memories in evidence")
        if (
            self.kind == "broad"
            and self.evidence
            and len(self.groups)
            not in (
                0,
                len(self.evidence),
            )
        ):
            raise ValueError("a broad turn needs one list in expect for each memory in evidence")
        if any(not text.strip() for group in self.groups for text in group) or () in self.groups:
            raise ValueError("expect holds an empty text or list")
        return self


def read_exam(path: Path) -> list[ExamTurn]:
    """The turns of a file, in its order; empty lines are skipped.

    Raises:
        ExamError: there is no such file, a line is wrong (it is named by its number), two turns
            have one id, or there is none at all.
    """
    try:
        return parse_exam(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ExamError(
            f"{path} cannot be read ({type(error).__name__}).",
            next_step="name a file with one JSON object a line; docs/exam.md describes it.",
        ) from None


def write_exam(path: Path, turns: Iterable[ExamTurn]) -> None:
    """Write turns as `read_exam` reads them."""
    lines = [turn.model_dump_json(exclude_defaults=True) + "\n" for turn in turns]
    path.write_text("".join(lines), encoding="utf-8")


def parse_exam(path: Path, text: str) -> list[ExamTurn]:
    """As `read_exam`, of a text that was read from `path`."""
    turns = list(_turns(path, text))
    if not turns:
        raise ExamError(f"{path} holds no turn.", next_step="write one JSON object a line.")
    (name, uses), *_ = Counter(turn.id for turn in turns).most_common(1)
    if uses > 1:
        raise ExamError(f"{path} has {uses} turns called {name!r}.", next_step="rename one.")
    return turns


def _turns(path: Path, text: str) -> Iterator[ExamTurn]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            turn = ExamTurn.model_validate_json(line)
        except ValidationError as error:
            raise ExamError(
                f"{path}, line {number}: {_in_words(error)}.",
                next_step="correct the line; docs/exam.md describes the format.",
            ) from None
        yield turn if turn.id else turn.model_copy(update={"id": f"line-{number}"})


def _in_words(error: ValidationError) -> str:
    """Which fields are wrong and how, without what they hold."""
    parts = []
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"] if isinstance(part, str | int))
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(dict.fromkeys(parts))
