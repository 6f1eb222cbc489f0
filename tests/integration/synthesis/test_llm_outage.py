"""A language model, or a tool, that takes too long: no artifact that only looks finished."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_assets.errors import LlmUnavailable
from support.fake_openai import FakeOpenAI, Reply, calls, fake_openai, says, status
from support.odd_tools import build, odd, question, script

WORDS = calls(("report", {"kind": "words"}))


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as running:
        yield running


def test_an_outage_ends_the_build_and_a_slow_model_does_not(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    answers = script({name: [WORDS, says("All is well.")] for name in ("First?", "Second?")})

    def outage(request: dict[str, Any]) -> Reply:
        return answers(request) if "First?" in str(request) else status(503, delay_s=1.5)

    def slow(request: dict[str, Any]) -> Reply:
        reply = answers(request)
        return Reply(reply.body, delay_s=1.5)

    questions = [question("First?"), question("Second?")]
    limits: dict[str, Any] = {"question_seconds": 1.0, "concurrency": 1}
    server.usual = outage
    with pytest.raises(LlmUnavailable, match="HTTP 503"):
        build(server, tmp_path / "b", odd(tmp_path), questions, **limits)
    assert not (tmp_path / "b" / "rows" / "train.jsonl").exists()
    server.usual, server.requests = slow, []
    built = build(server, tmp_path / "b", odd(tmp_path), questions, **limits)
    assert built.summary["exchanges"] == 2 and built.reasons == {}
    assert len(server.requests) == 2  # what was finished before is not asked again


def test_questions_that_run_out_of_time_are_not_left_out_in_silence(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    slow = calls(("report", {"kind": "slow"}))
    server.usual = script({"Fast?": [WORDS, says("All is well.")], "Slow?": [slow, says("Late.")]})
    questions = [question("Fast?"), question("Slow?")]
    with pytest.raises(LlmUnavailable, match="1 of 2 questions ran out of time") as raised:
        build(server, tmp_path / "b", odd(tmp_path), questions, question_seconds=1.0, concurrency=1)
    assert raised.value.next_step is not None and "question_seconds" in raised.value.next_step
    assert (tmp_path / "b" / "journal.jsonl").read_text("utf-8").count("\n") == 1
    built = build(server, tmp_path / "b", odd(tmp_path), questions, question_seconds=30.0)
    assert built.summary["exchanges"] == 2
    assert len(server.requests) == 4  # each answer is paid for once
