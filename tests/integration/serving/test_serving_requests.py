"""Requests nobody should send: broken, huge, hostile, too many, and what schemathesis thinks of."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from schemathesis.core.result import Ok

from agent_assets.serving.job_assets import Wish
from agent_assets.serving.jobs import Jobs
from support.serving_world import World, problem
from support.waiting import wait_for


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"elder_id": 1, "message": []}',
        b'{"elder_id":"ada","message":""}',
        b'{"elder_id":"ada","message":" \\n"}',
        b'{"elder_id":"ada","message":"x","conversation_history":[{"role":"obey","content":"x"}]}',
        b'{"elder_id":"ada","message":"obey \\ud800"}',
        b'{"elder_id":"ada","message":"obey","more":NaN}',
        b'{"elder_id":"ada","message":"obey","more":' + b"[" * 400 + b"]" * 400 + b"}",
    ],
)
def test_broken_requests_are_told_where_and_nothing_is_quoted(world: World, body: bytes) -> None:
    response = world.client.post(
        "/chat", content=body, headers={"Content-Type": "application/json"}
    )
    details = problem(response, 422)
    assert "obey" not in json.dumps(details) and all(
        error["at"] and error["message"] for error in details["errors"]
    )
    assert world.model.requests == []


def test_a_huge_body_is_refused(world: World) -> None:
    body = {"elder_id": "ada", "message": "x" * 10_000_000}
    # It may be cut off while it is still being sent
    with contextlib.suppress(httpx.TransportError):
        assert problem(world.client.post("/chat", json=body), 413)["next_step"] == "send less."
    parts = (b"x" * 100_000 for _ in range(100))  # chunked: nothing says how long it will be
    with contextlib.suppress(httpx.TransportError):
        answer = world.client.post(
            "/chat", content=parts, headers={"Content-Type": "application/json"}
        )
        assert problem(answer, 413)["next_step"] == "send less."
    assert world.chat().status_code == 200


def test_a_caller_who_asks_too_often_waits(world: World) -> None:
    world.services.limit._rate, world.services.limit._burst = 0.1, 3.0
    codes = [world.client.get("/models").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert world.client.get("/health").status_code == 200


def test_many_starts_of_trainings_at_once_leave_the_other_routes_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, made = (
        threading.Event(),
        {"success": True, "message": "", "job_id": None, "elder_id": "ada"},
    )
    at_once: list[int] = []

    def start(self: Jobs, elder: str, wish: Wish = "stale") -> dict[str, Any]:
        with self._starting:
            at_once.append(1)
            assert planned.wait(60)
            return made

    monkeypatch.setattr(Jobs, "start", start)
    url, many = (
        world.client.base_url.copy_with(path="/train/start"),
        60,
    )  # more than there are threads
    with ThreadPoolExecutor(many) as pool:
        replies = [
            pool.submit(httpx.post, url, json={"elder_id": "ada"}, timeout=120) for _ in range(many)
        ]
        try:
            wait_for(lambda: world.services.metrics.in_flight._value.get() == many)
            assert world.client.get("/models", timeout=20).status_code == 200
            assert len(at_once) == 1
        finally:
            planned.set()
        assert {reply.result().status_code for reply in replies} == {200}


_HOSTILE = [
    "../../etc/passwd",
    "..",
    "ada/../ben",
    "ada\x00",
    "$where",
    "' or 1=1 --",
    "ada\n",
    "{{7*7}}",
    "x" * 5000,
]


@pytest.mark.parametrize("name", _HOSTILE)
def test_no_parameter_is_a_way_out(world: World, name: str) -> None:
    path = quote(name, safe="").replace(".", "%2E")
    client = world.client
    before = sorted(file for file in Path(world.store.root).rglob("*.json"))
    tried = [client.get(f"/{route}") for route in (f"models/{path}/export", f"export-jsonl/{path}")]
    tried += [
        client.delete(f"/models/{path}"),
        client.get("/models/ada/export", params={"form": name}),
        client.post("/models/ada/copy", json={"to": name}),
        client.post(f"/models/{path}/copy", json={"to": "eve"}),
        client.get("/models", params={"offset": name}),
        client.get("/models", params={"limit": name}),
    ]
    assert {response.status_code for response in tried} <= {404, 405, 409, 422}, [
        response.status_code for response in tried
    ]
    # Httpx itself refuses some headers
    with contextlib.suppress(ValueError, httpx.LocalProtocolError):
        given = client.get("/models", headers={"X-Request-ID": name}).headers["x-request-id"]
        assert given != name or name == ".."
    assert sorted(file for file in Path(world.store.root).rglob("*.json")) == before


def test_schemathesis_finds_no_server_error(world: World) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings

    world.services.limit._burst = world.services.limit._rate = 1e9
    world.services.jobs.close()
    schema = schemathesis.openapi.from_url(
        str(world.client.base_url.copy_with(path="/openapi.json"))
    )
    quick = settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    tried = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()

        @quick
        @given(case=operation.as_strategy())
        def run(case: Any) -> None:
            response = case.call(timeout=60)
            assert response.status_code < 500, (
                case.method,
                case.path,
                response.status_code,
                response.text,
            )

        run()
        tried.append(operation.path)
    assert len(tried) >= 19
