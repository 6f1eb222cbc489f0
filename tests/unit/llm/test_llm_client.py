"""The client of a paid language model, against a real local HTTP server that answers well and
badly.
"""

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import BaseModel
from tenacity import wait_none

from agent_assets.errors import LlmModelChanged, LlmRefused, LlmSpendCap, LlmUnavailable
from agent_assets.llm.answer_cache import AnswerCache
from agent_assets.llm.client import LlmClient, LlmEndpoint
from agent_assets.llm.completions import same_model
from agent_assets.llm.config import LlmConfig
from agent_assets.llm.retrying import retry_after
from agent_assets.llm.structured import NoJsonAnswer, ask_json
from support.fake_openai import (
    MODEL,
    FakeOpenAI,
    Reply,
    completion,
    escaped,
    fake_openai,
    says,
    status,
)

T = TypeVar("T")
KEY = "sk-hunter2"


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as running:
        yield running


class Asker:
    """Clients of one server and one cache, one after the other, as materializations are."""

    def __init__(self, server: FakeOpenAI, cache: Path) -> None:
        self.server, self.cache = server, cache
        self.summary: dict[str, Any] = {}

    def run(self, work: Callable[[LlmClient], Awaitable[T]], **settings: Any) -> T:
        async def go() -> T:
            endpoint = LlmEndpoint(
                settings.pop("url", self.server.url), settings.pop("model", MODEL), KEY
            )
            client = LlmClient(
                endpoint, LlmConfig.model_validate(settings), AnswerCache(self.cache)
            )
            try:
                async with client:
                    return await work(client)
            finally:
                self.summary = client.spending.summary()

        return asyncio.run(go())

    def ask(self, *texts: str, **settings: Any) -> list[str]:
        async def work(client: LlmClient) -> list[str]:
            return [(await client.ask(prompt(text))).choice.message.content or "" for text in texts]

        return self.run(work, **settings)


def prompt(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.fixture
def asker(server: FakeOpenAI, tmp_path: Path) -> Asker:
    return Asker(server, tmp_path / "answers")


def test_an_answer_is_paid_for_once(asker: Asker, server: FakeOpenAI) -> None:
    server.queue = [says("Paris."), says("Rome.")]
    assert asker.ask("France?", "Italy?", "France?") == ["Paris.", "Rome.", "Paris."]
    assert asker.summary["answers_cached"] == 1 and asker.summary["tokens_now"] == 40
    assert asker.ask("France?") == ["Paris."]
    assert len(server.requests) == 2
    assert asker.summary["requests_now"] == 0 and asker.summary["tokens_read"] == 10
    asker.ask("France?", temperature=0.1)  # other settings are another question
    assert len(server.requests) == 3


def test_equal_requests_at_the_same_time_share_one_answer(asker: Asker, server: FakeOpenAI) -> None:
    server.usual = says("Paris.", delay_s=0.2)

    async def work(client: LlmClient) -> list[str | None]:
        answers = await asyncio.gather(*(client.ask(prompt("France?")) for _ in range(5)))
        return [answer.choice.message.content for answer in answers]

    assert asker.run(work) == ["Paris."] * 5
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "bad",
    [
        status(429, retry_after="0"),
        status(500),
        status(503),
        Reply(b"<html>gateway</html>"),
        Reply(b'{"choices": [{"mess'),
        Reply(b"\xff\xfe\x00"),
        Reply({"choices": []}),
        Reply({"choices": [{"message": {"role": "assistant", "content": 5}}]}),
        Reply(b"[]"),
        escaped(says("Half: \ud83d")),
        Reply(b""),
        says("late", delay_s=1.5),
    ],
)
def test_what_passes_is_asked_again(asker: Asker, server: FakeOpenAI, bad: Reply) -> None:
    server.queue = [bad, says("Paris.")]
    assert asker.ask("France?", timeout_s=1) == ["Paris."]
    assert asker.summary["retries_now"] == 1
    assert asker.summary["models"] == {MODEL: 1}


@pytest.mark.parametrize(
    ("bad", "tries", "error"),
    [
        (Reply(b"<html>Welcome to nginx</html>"), 5, LlmUnavailable),
        (Reply({"choices": []}), 5, LlmUnavailable),
        (status(501), 1, LlmRefused),
    ],
)
def test_what_never_passes_is_not_asked_for_long(
    asker: Asker,
    server: FakeOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    bad: Reply,
    tries: int,
    error: type[Exception],
) -> None:
    monkeypatch.setattr("agent_assets.llm.retrying._PAUSE", wait_none())
    server.usual = bad
    with pytest.raises(error):
        asker.ask("France?", give_up_s=600)
    assert len(server.requests) == tries


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "127.0.0.1:9/v1"])
def test_an_address_that_is_none_is_told_at_once(asker: Asker, url: str) -> None:
    with pytest.raises(LlmUnavailable, match=r"in 1 tries .*check OPENAI_BASE_URL"):
        asker.ask("France?", url=url, give_up_s=600)


def test_429_for_ever_is_a_clean_stop_that_keeps_what_was_paid_for(
    asker: Asker, server: FakeOpenAI
) -> None:
    server.queue = [says("Paris.")]
    server.usual = status(429, retry_after="0.1")
    started = time.monotonic()
    with pytest.raises(
        LlmUnavailable, match=r"gave no answer in \d+ tries \(the last: HTTP 429\)"
    ) as raised:
        asker.ask("France?", "Italy?", give_up_s=1.5)
    assert time.monotonic() - started < 5
    assert raised.value.next_step is not None and "kept" in raised.value.next_step
    server.usual = says("Rome.")
    assert asker.ask("France?", "Italy?") == ["Paris.", "Rome."]
    assert asker.summary["requests_now"] == 1


def test_a_wait_longer_than_we_wait_ends_at_once(asker: Asker, server: FakeOpenAI) -> None:
    server.usual = status(429, retry_after="3600")
    started = time.monotonic()
    with pytest.raises(LlmUnavailable):
        asker.ask("France?", give_up_s=30)
    assert time.monotonic() - started < 5
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "refusal", [status(401), status(404), status(429, error="insufficient_quota")]
)
def test_what_cannot_pass_is_not_asked_again(
    asker: Asker, server: FakeOpenAI, refusal: Reply
) -> None:
    server.usual = refusal
    with pytest.raises(LlmRefused) as raised:
        asker.ask("my secret", give_up_s=30)
    assert len(server.requests) == 1
    assert "in confidence" not in str(raised.value) and "secret" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_nobody_listens(asker: Asker, server: FakeOpenAI, tmp_path: Path) -> None:
    server.server_close()
    with pytest.raises(LlmUnavailable, match="APIConnectionError"):
        asker.ask("France?", give_up_s=0.2)


def test_another_model_is_an_error_or_a_record(asker: Asker, server: FakeOpenAI) -> None:
    server.queue = [says("a"), says("b", model="cheaper-9")]
    with pytest.raises(
        LlmModelChanged, match=f"{MODEL} was asked, {MODEL} answered first, now cheaper-9"
    ):
        asker.ask("1", "2")
    assert asker.summary["tokens_now"] == 40  # it was paid for, and is not an answer of this model
    server.queue = [says("b", model="cheaper-9")]
    assert asker.ask("1", "2", on_model_change="record") == ["a", "b"]
    assert asker.summary["models"] == {MODEL: 1, "cheaper-9": 1}


def test_a_new_version_in_the_middle_is_another_model(asker: Asker, server: FakeOpenAI) -> None:
    server.queue = [says("a", model="gpt-9-2026-01-01"), says("b", model="gpt-9-2026-02-02")]
    with pytest.raises(LlmModelChanged):
        asker.ask("1", "2", model="gpt-9")


@pytest.mark.parametrize(
    ("requested", "answered", "same"),
    [
        ("gpt-4.1", "gpt-4.1-2025-04-14", True),
        ("openai/gpt-4.1", "gpt-4.1", True),
        ("Qwen/Qwen3-8B", "qwen3-8b", True),
        ("llama3", "llama3:latest", True),
        ("gpt-4.1", "gpt-4.1mini", False),
        ("gpt-4.1", "gpt-4o", False),
    ],
)
def test_names_of_one_model(requested: str, answered: str, same: bool) -> None:
    assert same_model(requested, answered) is same


@pytest.mark.parametrize(
    ("cap", "says_cap", "requests"),
    [
        ({"max_requests": 3}, "llm.max_requests (3)", 3),
        ({"max_total_tokens": 50}, "llm.max_total_tokens (50)", 3),
        ({"max_cost": 0.00005, "price_read": 1.0, "price_written": 2.0}, "llm.max_cost", 2),
    ],
)
def test_a_spend_cap_stops_and_the_next_materialization_goes_on(
    asker: Asker, server: FakeOpenAI, cap: dict[str, float], says_cap: str, requests: int
) -> None:
    texts = [str(number) for number in range(2 * requests)]
    with pytest.raises(LlmSpendCap) as raised:
        asker.ask(*texts, **cap)
    assert says_cap in raised.value.message
    assert len(server.requests) == requests
    assert asker.ask(*texts, **cap) == ["Yes."] * len(texts)
    assert len(server.requests) == len(texts)
    if "max_cost" in cap:
        assert asker.summary["cost"] == pytest.approx(len(texts) * 30 / 1e6)


def test_replies_that_cannot_be_used_count_towards_a_cap(asker: Asker, server: FakeOpenAI) -> None:
    server.usual = completion({"content": {"text": "Yes."}}, tokens=500)
    with pytest.raises(LlmSpendCap):
        asker.ask("France?", max_total_tokens=1000, give_up_s=3)
    assert len(server.requests) == 1
    assert asker.summary["tokens_now"] == 1000 and asker.summary["answers"] == 0


def test_an_answer_under_way_is_kept_when_nobody_waits_for_it(
    asker: Asker, server: FakeOpenAI
) -> None:
    server.usual = says("Paris.", delay_s=0.4)

    async def work(client: LlmClient) -> None:
        async with asyncio.timeout(0.1):
            await client.ask(prompt("France?"))

    with pytest.raises(TimeoutError):
        asker.run(work)
    assert asker.ask("France?") == ["Paris."]
    assert len(server.requests) == 1


def test_servers_that_count_no_tokens_are_estimated(asker: Asker, server: FakeOpenAI) -> None:
    reply = says("Paris.")
    assert isinstance(reply.body, dict)
    del reply.body["usage"]
    server.usual = reply
    asker.ask("France? " * 100)
    assert asker.summary["answers_estimated"] == 1
    assert asker.summary["tokens_read"] > 200


def test_an_answer_of_which_a_part_is_no_text_is_kept(asker: Asker, server: FakeOpenAI) -> None:
    reply = says("Paris.")
    assert isinstance(reply.body, dict)
    reply.body["choices"][0]["message"]["reasoning_content"] = "Half: \ud83d"
    server.queue = [escaped(reply)]
    assert asker.ask("France?") == asker.ask("France?") == ["Paris."]


def test_a_full_disk_leaves_no_half_answer(
    asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="full"):
        asker.ask("France?")
    assert [path for path in (tmp_path / "answers").rglob("*") if path.is_file()] == []


def test_the_key_is_in_nothing_that_is_kept(asker: Asker, tmp_path: Path) -> None:
    asker.ask("France?")
    assert all(
        KEY not in path.read_text("utf-8") for path in (tmp_path / "answers").rglob("*.json")
    )
    assert KEY not in repr(LlmEndpoint("http://x", MODEL, KEY))


def test_how_long_a_server_asks_to_wait() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    later = format_datetime(datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC), usegmt=True)
    for headers, seconds in (
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": later}, 7.0),
        ({"retry-after": "soon"}, 0.0),
        ({}, 0.0),
        ({"retry-after": "-5"}, 0.0),
    ):
        assert retry_after(httpx.Response(429, headers=headers), now=now.timestamp()) == seconds


class Town(BaseModel):
    name: str
    people: int


def town(asker: Asker, **settings: Any) -> Town:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": "A town?"},
    ]
    return asker.run(lambda client: ask_json(client, messages, Town), **settings)


GOOD = Town(name="Ulm", people=126000)


def test_json_is_asked_for_by_schema(asker: Asker, server: FakeOpenAI) -> None:
    server.queue = [says(GOOD.model_dump_json())]
    assert town(asker) == GOOD
    schema = server.requests[0]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["additionalProperties"] is False and schema["schema"]["required"] == [
        "name",
        "people",
    ]


def test_a_server_without_schemas_is_asked_in_words(asker: Asker, server: FakeOpenAI) -> None:
    server.queue = [
        status(400),
        says("Sure!\n```json\n" + GOOD.model_dump_json() + "\n```\nAnything else?"),
    ]
    assert town(asker) == GOOD
    assert "response_format" not in server.requests[1]
    assert '"people"' in server.requests[1]["messages"][0]["content"]


def test_json_that_does_not_fit_is_sent_back_with_what_is_wrong(
    asker: Asker, server: FakeOpenAI
) -> None:
    server.queue = [
        says('{"name": "Ulm"}'),
        says('{"name": "Ulm", "peo'),
        says(GOOD.model_dump_json()),
    ]
    assert town(asker) == GOOD
    first, second = (request["messages"][-1]["content"] for request in server.requests[1:])
    assert "people: Field required" in first
    assert "Invalid JSON" in second
    assert len(server.requests[2]["messages"]) == 4  # the latest attempt alone is quoted


def test_json_that_never_fits_or_is_refused_is_an_error(asker: Asker, server: FakeOpenAI) -> None:
    server.usual = says("I would rather chat.")
    with pytest.raises(NoJsonAnswer):
        town(asker, json_attempts=2)
    assert len(server.requests) == 2
    reply = says("")
    assert isinstance(reply.body, dict)
    reply.body["choices"][0]["message"]["refusal"] = "no"
    server.usual = reply
    with pytest.raises(NoJsonAnswer, match="refuses"):
        town(asker, seed=1)


def test_json_after_reasoning_is_read_and_reasoning_is_not_sent_back(
    asker: Asker, server: FakeOpenAI
) -> None:
    server.queue = [
        says('<think>A set {1, 2} of [towns].</think>{"name": "Ulm"}'),
        says("{people}: many?</think>\n" + GOOD.model_dump_json()),
    ]
    assert town(asker) == GOOD
    assert server.requests[1]["messages"][-2]["content"] == '{"name": "Ulm"}'


@pytest.mark.parametrize(
    ("reply", "reason", "asked"),
    [
        (completion({"content": '{"name": "U'}, finish="length"), "cut_at_llm.max_tokens", 1),
        (completion({"content": None}, finish="content_filter"), "refused", 1),
        (says("I would rather chat."), "no_json_answer", 2),  # the same again
    ],
)
def test_json_that_will_not_come_is_not_asked_for_again(
    asker: Asker, server: FakeOpenAI, reply: Reply, reason: str, asked: int
) -> None:
    server.usual = reply
    with pytest.raises(NoJsonAnswer) as raised:
        town(asker, json_attempts=5)
    assert (raised.value.reason, len(server.requests)) == (reason, asked)


def test_parts_and_objects_are_a_reply_and_are_kept(asker: Asker, server: FakeOpenAI) -> None:
    calls = [{"function": {"name": "weather", "arguments": {"city": "Ulm"}}}]
    parts = [{"type": "thinking", "thinking": "Hm \ud83d."}, {"type": "text", "text": "Yes."}]
    server.queue = [escaped(completion({"content": parts, "tool_calls": calls}))]

    async def work(client: LlmClient) -> list[Any]:
        return [(await client.ask(prompt("Weather?"))).choice for _ in range(2)]

    for choice in asker.run(work):
        assert choice.message.tool_calls[0].function.arguments == '{"city": "Ulm"}'
        assert choice.message.content == "Yes." and choice.finish_reason == "stop"
    assert len(server.requests) == 1
