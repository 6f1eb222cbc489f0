"""Who may reach whom: names that are not there, tokens and their scopes, web pages."""

import json
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.release.pointer import CURRENT, pointer_path
from agent_assets.release.pointer_history import forget_agent
from agent_assets.serving import commands as serving_commands
from agent_assets.serving_settings import ServingConfig
from agent_assets.store.tombstones import bury
from support.serving_world import (
    PIPELINE,
    World,
    bearer,
    openai_error,
    problem,
    problem_like,
    running_api,
)


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "ADA",
        "..",
        "....",
        "ada-ffffffff",
        "../ada",
        "ada\0",
        "a' or 1=1",
        "$ne",
        "*",
        "a\nb",
    ],
)
def test_who_is_not_released_is_not_there(world: World, name: str) -> None:
    path = quote(name, safe="").replace(".", "%2E")
    assert world.client.get(f"/models/{path}").status_code == 404
    for path in ("/chat", "/v1/chat/completions"):
        body = (
            {"elder_id": name, "message": "Hi"}
            if path == "/chat"
            else {"model": name, "messages": [{"role": "user"}]}
        )
        assert world.client.post(path, json=body).status_code in (400, 404, 422)


def test_a_removed_elder_is_gone_at_once(world: World) -> None:
    assert world.chat().status_code == 200
    bury(world.store, "ada")
    assert problem(world.chat(), 404) == problem_like(world.chat(elder="nobody"))
    assert [entry["id"] for entry in world.client.get("/models").json()["models"]] == ["ben"]


def test_once_a_token_exists_everyone_needs_one(world: World) -> None:
    assert world.chat().status_code == 200
    for key in ("Bearer EMPTY", "Bearer sk-proj-1", "Bearer aa_00000000_x", "Basic dTpw", ""):
        client_made_for_openai = world.client.get("/v1/models", headers={"Authorization": key})
        assert client_made_for_openai.status_code == 200, key
    token = world.tokens.create("admin")
    time.sleep(0.3)  # so long the answer `no tokens` is remembered
    assert problem(world.chat(), 401)["next_step"].startswith("make one")
    refused = openai_error(world.client.get("/v1/models", headers=bearer("EMPTY")), 401)
    assert refused["code"] == "invalid_api_key" and "token create" in refused["message"]
    for wrong in ("x", token[:-1], token + "0", "aa_00000000_" + token[12:], "aa__", "é" * 20):
        headers = {"Authorization": b"Bearer " + wrong.encode()}
        assert world.client.get("/models", headers=headers).status_code == 401  # type: ignore[arg-type]
    assert world.client.get("/models", headers=bearer(token)).status_code == 200
    assert token.split("_", 2)[2] not in json.dumps(world.tokens.all(), default=str)
    world.tokens.revoke(token.split("_")[1])
    time.sleep(0.3)
    assert world.client.get("/models", headers=bearer(token)).status_code == 401
    expired = world.tokens.create("admin", days=-1)
    assert world.client.get("/models", headers=bearer(expired)).status_code == 401


def test_an_elders_token_knows_of_nobody_else(world: World) -> None:
    mine = bearer(world.tokens.create("elder", elder="ada"))
    body = {"elder_id": "ben", "message": "Hi"}
    client = world.client
    assert [entry["id"] for entry in client.get("/models", headers=mine).json()["models"]] == [
        "ada"
    ]
    assert [entry["id"] for entry in client.get("/v1/models", headers=mine).json()["data"]] == [
        "ada"
    ]
    assert client.post("/chat", json=body | {"elder_id": "ada"}, headers=mine).status_code == 200
    unknown = client.post("/chat", json=body | {"elder_id": "nobody"}, headers=mine)
    for other in (
        client.post("/chat", json=body, headers=mine),
        client.post("/chat/stream", json=body, headers=mine),
        client.get("/models/ben", headers=mine),
        client.get("/models/ben-00000002", headers=mine),
        client.get("/models/ben/export", headers=mine),
        client.get("/export-jsonl/ben", headers=mine),
    ):
        assert problem(other, 404) == problem_like(unknown)
    hidden, absent = (
        [
            client.post(
                "/v1/chat/completions",
                json={"model": name, "messages": [{"role": "user"}]},
                headers=mine,
            ),
            client.get(f"/v1/models/{name}", headers=mine),
        ]
        for name in ("ben", "nobody")
    )
    assert [openai_error(reply, 404) for reply in hidden] == [
        reply.json()["error"] for reply in absent
    ]
    started = [
        client.post("/train/start", json={"elder_id": elder}, headers=mine)
        for elder in ("ben", "nobody")
    ]
    assert problem(started[0], 404) == problem_like(started[1])
    assert client.delete("/models/ada", headers=mine).status_code == 403
    assert client.get("/metrics", headers=mine).status_code == 403
    reader = bearer(world.tokens.create("read"))
    assert client.get("/models/ben", headers=reader).status_code == 200
    assert client.post("/chat", json=body, headers=reader).status_code == 403


def test_pages_of_a_browser_are_refused(world: World) -> None:
    assert world.client.get("/models", headers={"Host": "evil.example"}).status_code == 403
    assert (
        world.client.get("/models", headers={"Origin": "https://evil.example"}).status_code == 403
    )
    assert "access-control-allow-origin" not in world.client.get("/models").headers
    text = world.client.post(
        "/chat", content='{"elder_id":"ada","message":"x"}', headers={"Content-Type": "text/plain"}
    )
    assert text.status_code == 422


def test_a_token_reaches_an_api_that_just_started_by_any_name(world: World) -> None:
    remote = {"Host": "api.example.com"}
    assert "Web pages" in problem(world.client.get("/health", headers=remote), 403)["detail"]
    token = world.tokens.create("admin")
    with running_api(world.settings, world.services.config) as (client, _):
        assert client.get("/models", headers=remote | bearer(token)).status_code == 200
    with running_api(world.settings, world.services.config) as (client, _):
        assert client.get("/health", headers=remote).status_code == 200
        problem(client.get("/models", headers=remote), 401)


def test_without_mongodb_nobody_is_let_in_by_another_name(world: World) -> None:
    nowhere = replace(
        world.settings, mongodb_uri="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
    )
    with running_api(nowhere, world.services.config) as (client, _):
        problem(client.get("/models", headers={"Host": "api.example.com"}), 503)
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "degraded")


def test_tokens_are_made_listed_and_revoked_in_a_terminal(
    world: World, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_commands, "DATABASE", world.services.tokens._database)

    def run(*arguments: str) -> str:
        variables = {"MONGODB_URI": mongo_uri, "AGENT_ASSETS_HOME": str(world.settings.home)}
        done = CliRunner().invoke(commands, ["token", *arguments], env=variables)
        assert done.exit_code == 0, done.output
        errors.append(done.stderr)
        return done.stdout.strip()

    errors: list[str] = []
    token = run("create", "--elder", "ada", "--name", "tablet", "--days", "2")
    assert "from now on every request needs a token" in errors[-1]
    run("create", "--read")
    assert "from now on" not in errors[-1]
    assert [
        entry["id"] for entry in world.client.get("/models", headers=bearer(token)).json()["models"]
    ] == ["ada"]
    listed = run("list")
    assert "ada" in listed and "tablet" in listed and token.split("_", 2)[2] not in listed
    run("revoke", token.split("_")[1])
    assert "revoked" in run("list").splitlines()[0]
    for days in ("0", "-1", "nan"):
        refused = CliRunner().invoke(commands, ["token", "create", "--admin", "--days", days])
        assert refused.exit_code == 2 and "--days" in refused.stderr


PAIRS = 500
ROUTES = {
    "details": ("GET", "/models/{}", None),
    "export": ("GET", "/models/{}/export", None),
    "rows": ("GET", "/export-jsonl/{}", None),
    "OpenAI's model": ("GET", "/v1/models/{}", None),
    "latest training": ("GET", "/train/progress/elder/{}", None),
    "training": ("POST", "/train/start", {"elder_id": "{}"}),
    "chat": ("POST", "/chat", {"elder_id": "{}", "message": "Hi"}),
    "completions": (
        "POST",
        "/v1/chat/completions",
        {"model": "{}", "messages": [{"role": "user", "content": "Hi"}]},
    ),
}


@pytest.mark.parametrize("route", ROUTES)
def test_time_does_not_tell_what_is_hidden_from_what_is_not_there(world: World, route: str) -> None:
    """`ben` is somebody else's, `zoe` nobody's: whoever guesses from the time alone is right no
    more often than by chance (area under the ROC curve at most 0.6).
    """
    world.services.limit._rate = world.services.limit._burst = 1e9
    mine = bearer(world.tokens.create("elder", elder="ada"))
    time.sleep(0.3)  # so long the answer `no tokens` is remembered
    method, path, body = ROUTES[route]
    seconds: dict[str, list[float]] = {"ben": [], "zoe": []}
    for number in range(PAIRS):
        for name in ("ben", "zoe") if number % 2 else ("zoe", "ben"):
            content = None if body is None else json.dumps(body).replace("{}", name)
            headers = mine | {"Content-Type": "application/json"}
            started = time.perf_counter()
            reply = world.client.request(
                method, path.format(name), content=content, headers=headers
            )
            seconds[name].append(time.perf_counter() - started)
            assert reply.status_code in (200, 404)
    slower = sum(hidden > absent for hidden in seconds["ben"] for absent in seconds["zoe"])
    area = slower / PAIRS**2
    assert abs(area - 0.5) <= 0.1, area


def test_a_damaged_release_of_another_elder_looks_like_none(world: World) -> None:
    mine = bearer(world.tokens.create("elder", elder="ada"))
    damaged = [file for file in Path(world.store.root).rglob("ben.json") if file.is_file()]
    for file in damaged:
        file.write_text("damaged", encoding="utf-8")
    assert damaged
    time.sleep(0.3)
    hidden, absent = (
        world.client.get(f"/models/{name}", headers=mine) for name in ("ben", "nobody")
    )
    assert problem(hidden, 404) == problem_like(absent)


def test_a_damaged_pointer_leaves_lists_and_other_agents_alone(world: World) -> None:
    path = Path(pointer_path(world.store, (PIPELINE, "ben"), CURRENT))
    path.write_bytes(path.read_bytes()[:50])
    assert world.client.get("/models/ben").status_code == 200  # from its history
    forget_agent(world.store, (PIPELINE, "ben"))
    assert world.client.get("/health").json()["damaged_releases"] == 0  # nobody looked yet
    listed = world.client.get("/models").json()
    assert [model["id"] for model in listed["models"]] == ["ada"]
    assert [model["id"] for model in world.client.get("/v1/models").json()["data"]] == ["ada"]
    assert world.chat().status_code == 200
    assert str(path) in problem(world.client.get("/models/ben"), 409)["next_step"]
    health = world.client.get("/health")
    assert (health.status_code, health.json()["damaged_releases"]) == (200, 1)


def test_before_there_are_tokens_nobody_comes_in_through_a_proxy(world: World) -> None:
    """A tunnel that runs as our user looks like our user; what it passes on says so."""
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"):
        reply = world.client.get("/models", headers={name: "203.0.113.9"})
        assert "not through a proxy" in problem(reply, 401)["detail"], name
    assert world.client.get("/models").status_code == 200


def test_the_limit_by_address_reads_what_our_own_proxies_say(world: World) -> None:
    given = world.services.config.model_dump(mode="json") | {"requests_per_minute": 3}
    for proxies, expected in (([], {429}), (["127.0.0.1"], {200})):
        config = ServingConfig.model_validate(given | {"proxies": proxies})
        with running_api(world.settings, config) as (client, _):
            statuses = [
                client.get("/health", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code
                for n in range(8)
            ]
        assert set(statuses[3:]) == expected, proxies
