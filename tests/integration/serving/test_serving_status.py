"""How the service says it is: health, settings, metrics, log."""

import json
import logging

from click.testing import CliRunner
from serving_world import World
from waiting import wait_for

from agent_assets.cli import commands


def test_health_config_and_metrics_say_how_it_is_without_secrets(world: World, mongo_uri: str) -> None:
    assert world.chat().status_code == 200
    health = world.client.get("/health").json()
    assert health["dependencies"] == {"store": "ok", "mongodb": "ok", "dagster": "absent", "inference": "cold"}
    assert mongo_uri not in world.client.get("/config").text
    counted = 'agent_assets_requests_total{method="POST",route="/chat",status="200"} 1.0'
    wait_for(lambda: counted in world.client.get("/metrics").text)  # a request is counted after its answer was sent


def test_the_log_has_ids_and_no_words(world: World) -> None:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from agent_assets.serving.guard import JsonLines

            lines.append(JsonLines().format(record))

    logger = logging.getLogger("agent_assets.serving")
    handler = Keep()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        world.model.text("My secret answer")
        world.chat("My secret question")
        world.client.post("/chat", json={"elder_id": "ada", "message": ["My secret mistake"]})
        wait_for(lambda: len(lines) == 2)  # a request is logged after its answer was sent
    finally:
        logger.removeHandler(handler)
    assert [json.loads(line)["status"] for line in lines] == [200, 422]
    assert "secret" not in "".join(lines)


def test_the_printed_document_is_the_one_that_is_served(world: World) -> None:
    printed = CliRunner().invoke(commands, ["openapi"])
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.output) == world.client.get("/openapi.json").json()
