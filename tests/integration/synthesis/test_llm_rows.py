"""Rows by a language model behind a real HTTP server, over a real MCP server, in a process that is
killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agent_assets.conversations.formats import from_swift
from support.fake_openai import FakeOpenAI, fake_openai
from support.numbers_teacher import teach
from support.synthesis_runs import read_lines

BUILD = Path(__file__).with_name("llm_build.py")
COUNT = 100


def start(server: FakeOpenAI, folder: Path, count: int = COUNT) -> "subprocess.Popen[bytes]":
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(
        [sys.executable, str(BUILD), server.url, str(folder), str(count)], env=environment
    )


def finish(server: FakeOpenAI, folder: Path) -> None:
    assert start(server, folder).wait(timeout=300) == 0


def finished(folder: Path) -> int:
    path = folder / "journal.jsonl"
    return path.read_text("utf-8").count("\n") if path.exists() else 0


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for name in ("questions", "rows") for path in (folder / name).iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    with fake_openai(teach) as server:
        finish(server, folder)
        (folder / "requests").write_text(str(len(server.requests)))
    return folder


def test_killed_at_question_37_it_goes_on_at_38_to_the_same_bytes(
    unbroken: Path, tmp_path: Path
) -> None:
    with fake_openai(teach) as server:
        process = start(server, tmp_path)
        while finished(tmp_path) < 37:
            assert process.poll() is None
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert 37 <= finished(tmp_path) < 60
        with (tmp_path / "journal.jsonl").open("a") as journal:
            journal.write('{"key": "torn')  # a kill in the middle of a line
        finish(server, tmp_path)
        requests = len(server.requests)
    assert requests - int((unbroken / "requests").read_text()) <= 1  # the one that was under way
    assert files(tmp_path) == files(unbroken)
    per_question = Counter((tmp_path / "calls.log").read_text().splitlines())
    # Each call is made once and replayed once; only the question that was under way may be called
    # once more.
    assert sum(per_question.values()) - 2 * len(per_question) <= 2
    with fake_openai(teach) as server:
        finish(server, unbroken)
        assert server.requests == []


def test_rows_are_whole_and_rejects_say_why(unbroken: Path) -> None:
    rows = [from_swift(row) for row in read_lines(unbroken / "rows" / "train.jsonl")]
    spoken = [message for row in rows for message in row.messages]
    before_calls = [message for message in spoken if message.tool_calls and message.content]
    assert before_calls and {message.content for message in before_calls} == {"Let me see."}
    coverage = json.loads((unbroken / "rows" / "coverage.json").read_text("utf-8"))
    assert coverage["calls_by_tool"]["double"] > 60
    assert coverage["uncovered"] == {"forget": "its server says that it changes things"}
    assert coverage["by_kind"]["abstention"] > 0
    rejects = read_lines(unbroken / "rows" / "rejects.jsonl")
    assert {reason["reason"] for row in rejects for reason in row["reasons"]} == {
        "observation_is_error"
    }
    assert "forget" not in (unbroken / "calls.log").read_text()  # it reached no server
    items = read_lines(unbroken / "rows" / "heldout.jsonl")
    gold_calls = [item["gold_calls"] for item in items if item["kind"] == "tool"]
    assert gold_calls and all(
        [call["name"] for call in calls] == ["double"] for calls in gold_calls
    )


def test_more_questions_never_move_earlier_ones(unbroken: Path, tmp_path: Path) -> None:
    with fake_openai(teach) as server:
        assert start(server, tmp_path, 40).wait(timeout=300) == 0
    few, many = (
        {row["text"]: row["split"] for row in read_lines(folder / "questions" / "questions.jsonl")}
        for folder in (tmp_path, unbroken)
    )
    assert set(few) < set(many) and few == {text: many[text] for text in few}
    assert set(few.values()) == {"train", "heldout"}
    listed = json.loads((unbroken / "questions" / "questions.en.json").read_text("utf-8"))
    assert listed["language"] == "en" and listed["count"] == len(listed["questions"]) == len(many)
