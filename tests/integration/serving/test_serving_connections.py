"""Connections that hold what others need: floods, half requests, clients that never read."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from agent_assets.serving_settings import ServingConfig
from support.serving_world import World, add_agent, bearer, running_api
from support.waiting import wait_for

PER_ADDRESS = 16
LIMITS = {
    "connections": 24,
    "per_address": PER_ADDRESS,
    "header_bytes": 8192,
    "request_seconds": 1.0,
    "stall_seconds": 1.0,
}


@pytest.fixture
def bounded(world: World) -> Iterator[World]:
    """The same installation behind a listener with small limits."""
    config = ServingConfig.model_validate(
        {
            "inference": {"url": world.model.url, "slots": 1, "max_concurrency": 4},
            "requests_per_minute": 6000,
            "connections": LIMITS,
            "answers_at_once": 2,
            "exports_at_once": 1,
        }
    )
    with running_api(world.settings, config) as (client, services):
        yield World(client, services, world.model, world.store, services.tokens, world.settings)


@contextmanager
def connected(world: World, *, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    url = world.client.base_url
    with socket.socket() as connection:
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(20)
        connection.connect((url.host, url.port))
        yield connection


def received(connection: socket.socket) -> bytes:
    """What comes until the other end closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"x" * 200_000,
        b"GET /" + b"x" * 200_000,
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 20_000,
    ],
    ids=["one header", "path", "many headers"],
)
def test_headers_without_end_are_refused(bounded: World, request_head: bytes) -> None:
    with connected(bounded) as connection:
        try:
            connection.sendall(request_head)
        except ConnectionError:
            return  # refused before it was all sent
        answer = received(connection)
        assert not answer or answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert bounded.client.get("/models").status_code == 200


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: loc",
        b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ],
    ids=["nothing", "head", "body"],
)
def test_half_a_request_is_not_waited_for(bounded: World, half: bytes) -> None:
    started = time.monotonic()
    with connected(bounded) as connection:
        connection.sendall(half)
        answer = received(connection)
    assert time.monotonic() - started < 10
    assert not answer or answer.startswith(b"HTTP/1.1 408 "), answer
    wait_for(lambda: bounded.services.metrics.in_flight._value.get() == 0)


def test_a_byte_now_and_then_does_not_keep_half_a_request_alive(bounded: World) -> None:
    started = time.monotonic()
    with connected(bounded) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        while time.monotonic() - started < 15:
            connection.sendall(b"X-A: b\r\n")
            time.sleep(0.1)
    assert time.monotonic() - started < 10


def test_a_flood_of_connections_leaves_room_for_others(bounded: World) -> None:
    with ExitStack() as open_connections:
        for _ in range(3 * PER_ADDRESS):
            open_connections.enter_context(connected(bounded))
            assert httpx.get(bounded.client.base_url.join("/models")).status_code == 200


def test_who_answers_is_not_ended_for_a_newcomer(bounded: World) -> None:
    bounded.model.delay = 2.0
    with ExitStack() as stack:
        chat = stack.enter_context(connected(bounded))
        body = b'{"elder_id": "ada", "message": "Hello"}'
        head = f"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"  # noqa: E501
        chat.sendall(head.encode() + body)
        wait_for(lambda: bounded.model.at_once == 1)
        for _ in range(3 * PER_ADDRESS):
            stack.enter_context(connected(bounded))
        assert received(chat).startswith(b"HTTP/1.1 200 ")


def _in_flight(world: World) -> float:
    return float(world.services.metrics.in_flight._value.get())


def test_streams_that_nobody_reads_end_and_give_their_places_back(bounded: World) -> None:
    bounded.model.always = "word " * 100_000
    body = b'{"model": "ada", "stream": true, "messages": [{"role": "user", "content": "Talk."}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"  # noqa: E501
    with ExitStack() as stack:
        for _ in range(6):  # more than may be answered at once
            connection = stack.enter_context(connected(bounded, receive_bytes=4096))
            connection.sendall(head.encode() + body)
        wait_for(lambda: _in_flight(bounded) == 6)
        bounded.model.always = "Yes."
        assert bounded.chat().json()["response"] == "Yes."
        wait_for(lambda: _in_flight(bounded) == 0)


def test_a_download_that_nobody_reads_ends_and_one_at_a_time_is_made(bounded: World) -> None:
    weights = bounded.settings.home / "adapter"
    weights.mkdir()
    (weights / "adapter_model.safetensors").write_bytes(bytes(30_000_000))
    add_agent(bounded.store, "eve", 3, adapter=weights)
    with connected(bounded, receive_bytes=4096) as connection:
        connection.sendall(b"GET /models/eve/export HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: bounded.services.exports._taken)
        assert bounded.client.get("/models/eve/export").status_code == 429
        wait_for(lambda: _in_flight(bounded) == 0)
        whole = bounded.client.get("/models/eve/export")
        assert whole.status_code == 200 and len(whole.content) > 30_000_000


def test_one_familys_token_cannot_take_every_place(bounded: World) -> None:
    admin, elder = bounded.tokens.create("admin"), bounded.tokens.create("elder", elder="ada")
    bounded.model.delay = 1.5
    body: dict[str, Any] = {"elder_id": "ada", "message": "Hello"}
    url = bounded.client.base_url.join("/chat")

    def ask(token: str) -> int:
        return httpx.post(url, json=body, headers=bearer(token), timeout=60).status_code

    time.sleep(0.3)  # so long the answer `no tokens` is remembered
    with ThreadPoolExecutor(8) as pool:
        of_elder = list(pool.map(ask, [elder] * 4))
        of_admin = list(pool.map(ask, [admin] * 4))
    assert sorted(of_elder) == [200, 200, 429, 429]
    assert of_admin == [200] * 4


def test_health_is_asked_once_a_second_for_everybody(
    bounded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    probes = bounded.services.health._probes
    store = probes["store"]

    def count() -> object:
        asked.append(1)
        return store()

    monkeypatch.setitem(probes, "store", count)
    time.sleep(1.1)  # what start-up asked is old now
    started = time.monotonic()
    codes = {bounded.client.get("/health").status_code for _ in range(50)}
    assert codes == {200} and len(asked) <= 1 + (time.monotonic() - started)
