"""What a file of exam turns may say, and what is said of one that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_assets.conversations.exam import read_exam
from agent_assets.errors import ExamError

TOLD = {"kind": "told", "question": "who was she", "evidence": ["m1"], "expect": ["Ann"]}


def write(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "exam.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_optional_fields_may_be_left_out(tmp_path: Path) -> None:
    told, social, broad = read_exam(
        write(
            tmp_path,
            TOLD,
            "",
            {"kind": "social", "question": "hi", "half": "report", "id": "s"},
            {"kind": "broad", "question": "And?", "evidence": ["a", "b"], "expect": [["x"], ["y"]]},
        )
    )
    assert (told.id, social.id, broad.id) == ("line-1", "s", "line-4")
    assert (told.half, social.half, told.history) == (None, "report", ())
    assert (told.groups, social.groups, broad.groups) == ((("Ann",),), (), (("x",), ("y",)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "Invalid JSON"),
        (TOLD | {"kind": "asked"}, "kind: Input should be 'told'"),
        (TOLD | {"questions": "?"}, "questions: Extra inputs"),
        ({"kind": "told", "question": "?"}, "needs evidence or expect"),
        ({"kind": "never", "question": "?", "evidence": ["m1"]}, "rests on no memory"),
        (TOLD | {"kind": "follow_up"}, "needs the history"),
        (TOLD | {"kind": "compound"}, "needs two lists"),
        (TOLD | {"kind": "broad", "expect": [["a"], ["b"]]}, "one list in expect for each"),
        (TOLD | {"expect": [" "]}, "an empty text"),
        (TOLD | {"question": " "}, "question:"),
        (TOLD | {"history": [{"role": "system", "content": "x"}]}, "history.0.role"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(
    tmp_path: Path, line: dict[str, Any] | str, words: str
) -> None:
    with pytest.raises(ExamError) as error:
        read_exam(write(tmp_path, TOLD, line))
    assert "exam.jsonl, line 2: " in error.value.message and words in error.value.message


def test_a_file_without_turns_or_with_two_of_one_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExamError, match="holds no turn"):
        read_exam(write(tmp_path, ""))
    with pytest.raises(ExamError, match="2 turns called 'a'"):
        read_exam(write(tmp_path, TOLD | {"id": "a"}, TOLD | {"id": "a"}))
    with pytest.raises(ExamError, match="cannot be read"):
        read_exam(tmp_path / "none.jsonl")
