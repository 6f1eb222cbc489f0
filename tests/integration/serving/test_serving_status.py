"""How the service says it is: health, settings, metrics, log."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.serving.guard import JsonLines
from support.serving_world import World, problem
from support.waiting import wait_for


def test_health_config_and_metrics_say_how_it_is_without_secrets(
    world: World, mongo_uri: str
) -> None:
    assert world.chat().status_code == 200
    health = world.client.get("/health").json()
    assert health["dependencies"] == {
        "store": "ok",
        "mongodb": "ok",
        "dagster": "absent",
        "inference": "cold",
    }
    assert mongo_uri not in world.client.get("/config").text
    counted = 'agent_assets_requests_total{method="POST",route="/chat",status="200"} 1.0'
    wait_for(
        lambda: counted in world.client.get("/metrics").text
    )  # a request is counted after its answer was sent


@contextmanager
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonLines().format(record))

    logger = logging.getLogger("agent_assets.serving")
    handler = Keep()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def test_the_log_has_ids_and_no_words(world: World) -> None:
    with logged() as lines:
        world.model.text("My secret answer")
        world.chat("My secret question")
        world.client.post("/chat", json={"elder_id": "ada", "message": ["My secret mistake"]})
        wait_for(lambda: len(lines) == 2)  # a request is logged after its answer was sent
    assert [json.loads(line)["status"] for line in lines] == [200, 422]
    assert "secret" not in "".join(lines)


def test_an_error_nobody_foresaw_is_a_problem_and_the_log_says_where_without_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[Any]:
        raise KeyError("a secret word")

    monkeypatch.setattr(world.services.released, "agents", broken)
    with logged() as lines:
        body = problem(world.client.get("/models"), 500)
        wait_for(lambda: len(lines) == 2)
    failed, request = (json.loads(line) for line in lines)
    assert (
        failed["request_id"] == request["request_id"] == body["request_id"]
        and request["status"] == 500
    )
    assert failed["error"] == "KeyError" and failed["frames"][-1].endswith(" broken")
    assert "secret" not in "".join(lines) + json.dumps(body)
    counted = 'agent_assets_requests_total{method="GET",route="/models",status="500"} 1.0'
    assert counted in world.client.get("/metrics").text


def test_the_printed_document_is_the_one_that_is_served(world: World) -> None:
    printed = CliRunner().invoke(commands, ["openapi"])
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.output) == world.client.get("/openapi.json").json()
