"""Once there are tokens: the Dagster UI and the HTTP API ask for one, and one log-in serves
both.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from agent_assets.serving.tokens import DATABASE, Scope
from support.another_user import as_another_user, only_root
from support.installed import JSON, Installation, Reply, installation, raw
from support.waiting import wait_for

MUTATION = (
    'mutation { reloadRepositoryLocation(repositoryLocationName: "agent_assets") { __typename } }'
)
EVENTS = "subscription { locationStateChangeEvents { event { message } } }"
BUTTONS = "{ permissions { permission value } }"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("log-in")) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(up: Installation) -> dict[str, str]:
    """A token of each scope; those who answer have noticed."""
    assert raw(up.ui, "GET", "/server_info").status == 200
    scopes: tuple[Scope, ...] = ("admin", "read", "elder")
    store = up.tokens()
    by_scope: dict[str, str] = {
        scope: store.create(scope, elder="shen-fu" if scope == "elder" else None)
        for scope in scopes
    }
    store.close()
    wait_for(lambda: raw(up.ui, "GET", "/server_info").status == 401, 30)
    wait_for(lambda: raw(up.api, "GET", "/models").status == 401, 30)
    return by_scope


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def log_in(port: int, token: str, target: str = "/runs?a=b") -> Reply:
    form = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", f"http://127.0.0.1:{port}"),
    ]
    return raw(port, "POST", "/login", form, urlencode({"token": token, "next": target}))


def live_updates(up: Installation, headers: dict[str, str]) -> ClientConnection:
    address, protocol = f"ws://127.0.0.1:{up.ui}/graphql", Subprotocol("graphql-ws")
    return connect(address, subprotocols=[protocol], additional_headers=headers)


def cookie_of(reply: Reply) -> str:
    assert reply.status == 303, reply
    cookie, _, attributes = reply.headers["set-cookie"].partition(";")
    assert {"httponly", "samesite=strict", "path=/"} <= {
        part.strip().lower() for part in attributes.split(";")
    }
    return cookie


def test_nobody_gets_in_without_one(up: Installation, tokens: dict[str, str]) -> None:
    assert raw(up.ui, "GET", "/server_info").status == 401
    assert up.graphql("{ version }").status == up.graphql(MUTATION).status == 401
    for wrong in ("", "x", tokens["admin"][:-1], "aas.service.any.9999999999.00"):
        assert up.graphql("{ version }", **bearer(wrong)).status == 401
    with pytest.raises(InvalidStatus):
        live_updates(up, {})
    page = raw(up.ui, "GET", "/runs?a=b", [("Accept", "text/html")])
    assert (
        page.status == 401
        and 'value="/runs?a=b"' in page.text
        and page.headers["x-frame-options"] == "DENY"
    )


def test_a_reader_looks_and_changes_nothing(up: Installation, tokens: dict[str, str]) -> None:
    reader = bearer(tokens["read"])
    assert "version" in up.graphql("{ version }", **reader).json()["data"]
    for query in (MUTATION, f"query A {{ version }} {MUTATION.replace('mutation', 'mutation B')}"):
        refused = up.graphql(query, **reader)
        assert refused.status == 403 and "look" in refused.json()["errors"][0]["message"]
    for path in (
        "report_asset_materialization/x",
        "report_asset_check/x",
        "report_asset_observation/x",
        "graphql/",
        "x",
    ):
        assert raw(up.ui, "POST", f"/{path}", [*(JSON | reader).items()], "{}").status == 403
    # Dagster's own pages leave out what a reader may not do.
    values = {
        permission["value"]
        for permission in up.graphql(BUTTONS, **reader).json()["data"]["permissions"]
    }
    assert values == {False}
    assert True in {
        permission["value"]
        for permission in up.graphql(BUTTONS, **bearer(tokens["admin"])).json()["data"][
            "permissions"
        ]
    }
    with live_updates(up, reader) as live:
        live.send(json.dumps({"id": "m", "type": "start", "payload": {"query": MUTATION}}))
        assert json.loads(live.recv(30))["type"] == "error"
        live.send(json.dumps({"id": "e", "type": "start", "payload": {"query": EVENTS}}))
        assert up.graphql(MUTATION, **bearer(tokens["admin"])).status == 200
        assert json.loads(live.recv(60))["type"] == "data"


def test_the_token_of_one_elder_does_not_open_the_ui(
    up: Installation, tokens: dict[str, str]
) -> None:
    assert up.graphql("{ version }", **bearer(tokens["elder"])).status == 403
    assert raw(up.api, "GET", "/models", [*bearer(tokens["elder"]).items()]).status == 200


def test_one_log_in_serves_both(up: Installation, tokens: dict[str, str]) -> None:
    for port in (up.ui, up.api):
        wrong = log_in(port, tokens["admin"] + "x")
        assert (
            wrong.status == 401 and "not valid" in wrong.text and "set-cookie" not in wrong.headers
        )
        reply = log_in(port, tokens["admin"])
        assert reply.headers["location"] == "/runs?a=b"
        cookie = ("Cookie", cookie_of(reply))
        assert tokens["admin"].split("_", 2)[2] not in cookie[1]
        assert raw(up.ui, "GET", "/runs", [cookie]).status == 200
        assert up.graphql(MUTATION, Cookie=cookie[1]).status == 200
        assert raw(up.api, "GET", "/models", [cookie]).status == 200
        # A page of another port of this machine sends the cookie along, too: cookies do not know
        # ports.
        for headers in ([("Origin", "http://127.0.0.1:9")], [("Sec-Fetch-Site", "same-site")]):
            assert raw(up.api, "GET", "/models", [cookie, *headers]).status == 403
            assert raw(up.ui, "GET", "/runs", [cookie, *headers]).status == 403
        out = raw(port, "POST", "/logout", [cookie])
        assert out.status == 303 and "Max-Age=0" in out.headers["set-cookie"]
        assert raw(port, "GET", "/logout", [cookie]).status in (404, 405)


@only_root
def test_a_log_in_is_worth_nothing_to_another_user(
    up: Installation, tokens: dict[str, str]
) -> None:
    """His own server on another port of this machine gets the cookie from the browser."""
    cookie = ("Cookie", cookie_of(log_in(up.ui, tokens["admin"])))
    assert as_another_user(lambda: raw(up.ui, "GET", "/server_info", [cookie]).status) == "401"
    assert as_another_user(lambda: raw(up.api, "GET", "/models", [cookie]).status) == "401"
    # With a token of his own he may come in.
    reader = [*bearer(tokens["read"]).items()]
    assert as_another_user(lambda: raw(up.ui, "GET", "/server_info", reader).status) == "200"


def test_the_api_starts_runs_through_the_door(up: Installation, tokens: dict[str, str]) -> None:
    admin = [*bearer(tokens["admin"]).items()]
    assert raw(up.api, "GET", "/health").json()["dependencies"]["dagster"] == "ok"
    started = raw(
        up.api, "POST", "/train/start", [*admin, *JSON.items()], '{"elder_id": "energy_expert"}'
    )
    assert started.json()["success"], started
    job = started.json()["job_id"]
    assert raw(up.api, "POST", f"/train/cancel/{job}", admin).json()["success"]


def test_tokens_that_somebody_writes_into_the_database_are_worth_nothing(
    up: Installation, tokens: dict[str, str]
) -> None:
    token_store = up.tokens()
    collection = token_store._tokens
    assert collection.database.name == DATABASE
    (mine,) = collection.find({"scope": "read"})
    number, secret = tokens["read"].split("_", 2)[1:]
    changes: list[dict[str, Any]] = [
        {"scope": "admin"},  # more than it was made for
        {"scope": "admin", "seal": "0" * 64},
        {"scope": "admin", "seal": None},
    ]
    forged = {f"forged{n}": change for n, change in enumerate(changes)}
    # Answers are remembered for seconds: each has an id of its own
    for (
        name,
        change,
    ) in forged.items():
        collection.insert_one(mine | change | {"_id": name})
        assert up.graphql("{ version }", **bearer(f"aa_{name}_{secret}")).status == 401
    listed = {record["_id"]: record["believed"] for record in token_store.all()}
    assert listed[number] and {listed[name] for name in forged} == {False}
    # Without a seal, as earlier versions made them: what `up` found when it started is all that was
    # sealed.
    assert token_store.seal_older() == []
    revoked = token_store.create("admin")
    assert token_store.revoke(revoked.split("_")[1])
    collection.update_one({"_id": revoked.split("_")[1]}, {"$set": {"revoked_at": None}})
    expired = token_store.create("admin", days=-1)
    collection.update_one(
        {"_id": expired.split("_")[1]}, {"$set": {"expires_at": datetime(2999, 1, 1, tzinfo=UTC)}}
    )
    for token in (revoked, expired):
        assert up.graphql("{ version }", **bearer(token)).status == 401
    token_store.close()


def test_a_revoked_token_ends_its_websocket_and_an_empty_collection_opens_nothing(
    up: Installation, tokens: dict[str, str]
) -> None:
    token_store = up.tokens()
    with live_updates(up, bearer(tokens["read"])) as live:
        live.send(json.dumps({"id": "e", "type": "start", "payload": {"query": EVENTS}}))
        token_store.revoke(tokens["read"].split("_")[1])
        deadline = time.monotonic() + 60
        with pytest.raises(ConnectionClosed):
            while time.monotonic() < deadline:
                live.send('{"type": "connection_init"}')
                live.recv(10)
                time.sleep(0.5)
    token_store._tokens.delete_many({})
    token_store.close()
    time.sleep(6)  # so long answers are remembered
    for port, path in ((up.ui, "/server_info"), (up.api, "/models")):
        assert raw(port, "GET", path).status == 401
        assert raw(port, "GET", path, [*bearer(tokens["admin"]).items()]).status == 401
