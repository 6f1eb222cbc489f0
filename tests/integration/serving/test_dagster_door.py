"""The Dagster UI of a running installation, attacked: by pages of other origins, by neighbours, by
readers.

Every attack tries to add a partition, which a mutation does at once; the last test of each kind
shows that the same mutation works where it is allowed.
"""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from agent_assets.mongo.embedded.mongod import running_mongod
from support.another_user import as_another_user, only_root
from support.installed import JSON, Installation, installation, raw

ADD = """mutation {{ addDynamicPartition(partitionsDefName: "elders", partitionKey: "{0}",
  repositorySelector: {{repositoryLocationName: "agent_assets", repositoryName: "__repository__"}}
  ) {{ __typename }} }}"""
MUTATION = ADD.format("attacked")
BESIDE_A_QUERY = f"query Asked {{ version }} {MUTATION.replace('mutation', 'mutation Hidden')}"
RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "agent_assets") {
  ... on WorkspaceLocationEntry { loadStatus } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
EVIL, OTHER_PORT = "https://evil.example", "http://127.0.0.1:9"
FOREIGN = {
    "DNS rebinding": [("Host", "evil.example"), ("Origin", "http://evil.example")],
    "two hosts": [("Host", "127.0.0.1"), ("Host", "evil.example")],
    "no host of ours": [("Host", "127.0.0.1.evil.example")],
    "another site": [("Origin", EVIL)],
    "another port": [("Origin", OTHER_PORT)],
    "a sandboxed frame": [("Origin", "null")],
    "an image": [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
    ],
    "a frame": [
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "iframe"),
    ],
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_was_added(up: Installation) -> Iterator[None]:
    yield
    assert "attacked" not in up.instance.get_dynamic_partitions("elders")
    assert up.instance.get_runs_count() == 0


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_pages_of_other_origins_read_and_change_nothing(
    up: Installation, headers: list[tuple[str, str]]
) -> None:
    query_string = urlencode({"query": "{ version }"})
    plain = [("Content-Type", "text/plain")]
    attempts = [
        raw(up.ui, "GET", "/", headers),
        raw(up.ui, "GET", f"/graphql?{query_string}", headers),
        raw(up.ui, "GET", f"/graphql?{urlencode({'query': MUTATION})}", headers),
        raw(up.ui, "POST", "/graphql", [*headers, *JSON.items()], json.dumps({"query": MUTATION})),
        raw(up.ui, "POST", "/graphql", [*headers, *plain], json.dumps({"query": MUTATION})),
        raw(up.ui, "POST", f"/graphql?{urlencode({'query': MUTATION})}", [*headers, *plain], "x"),
        raw(up.ui, "POST", "/report_asset_materialization/elder_companion/release", headers),
        raw(up.ui, "GET", "/server_info", headers),
        raw(up.ui, "POST", "/login", headers, "token=x"),
        raw(up.api, "GET", "/models", headers),
        raw(
            up.api,
            "POST",
            "/train/start",
            [*headers, *JSON.items()],
            '{"elder_id": "energy_expert"}',
        ),
    ]
    assert {reply.status for reply in attempts} <= {400, 403}, attempts
    assert not any("dagster" in reply.text.lower().replace("dagster ui", "") for reply in attempts)


@pytest.mark.parametrize("query", [MUTATION, BESIDE_A_QUERY, f"# query\n{MUTATION}"])
@pytest.mark.parametrize(
    "path", ["/graphql", "/graphql%0A", "/graphql%0a", "/graphql/", "//graphql", "/%67raphql"]
)
def test_nothing_is_changed_by_get(up: Installation, path: str, query: str) -> None:
    for accept in ("*/*", "text/html"):
        query_string = urlencode(
            {"query": query, "operationName": "Hidden" if "Hidden" in query else ""}
        )
        raw(up.ui, "GET", f"{path}?{query_string}", [("Accept", accept)])
        raw(up.ui, "GET", f"{path}?{urlencode({'query': query})}", [("Accept", accept)])
        raw(up.ui, "HEAD", f"{path}?{urlencode({'query': query})}", [("Accept", accept)])


def test_queries_are_answered_by_get(up: Installation) -> None:
    assert (
        "version"
        in raw(up.ui, "GET", f"/graphql?{urlencode({'query': '{ version }'})}").json()["data"]
    )


def test_what_a_form_can_send_is_no_graphql(up: Installation) -> None:
    path_with_query, content = (
        f"/graphql?{urlencode({'query': MUTATION})}",
        json.dumps({"query": MUTATION}),
    )
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/graphql",
        "",
    ):
        for path, body in ((path_with_query, "x"), ("/graphql", content), ("/graphql", MUTATION)):
            assert raw(up.ui, "POST", path, [("Content-Type", kind)], body).status == 415
    # The words of a type somewhere in its parameters.
    assert (
        raw(
            up.ui, "POST", "/graphql", [("Content-Type", "text/plain; a=application/json")], content
        ).status
        == 415
    )


@pytest.mark.parametrize(
    "body", [f"[{json.dumps({'query': MUTATION})}]", '"x"', "[]", "{", '{"query": ["x"]}', "\xff"]
)
def test_batches_and_odd_bodies_are_refused(up: Installation, body: str) -> None:
    assert raw(up.ui, "POST", "/graphql", [*JSON.items()], body.encode("latin-1")).status == 400


@pytest.mark.parametrize(
    "path", ["/graphql%0A", "/graphql%00", "/runs%0d", "/%E2%80%A8", "/login%0A"]
)
def test_control_characters_in_a_path_are_refused(up: Installation, path: str) -> None:
    for method in ("GET", "POST"):
        assert (
            raw(up.ui, method, path, [*JSON.items()], json.dumps({"query": "{ version }"})).status
            == 400
        )


@pytest.mark.parametrize(
    ("resource", "config"),
    [
        ("store", {"root": "ftp://evil.example/"}),
        ("mongo", {"uri": "mongodb://evil.example/"}),
        ("engines", {"environments": "/tmp/evil"}),
        ("io_manager", {"base_dir": "/tmp/evil"}),
    ],
)
def test_a_run_config_that_names_a_resource_is_refused(
    up: Installation, resource: str, config: dict[str, str]
) -> None:
    params = {
        "selector": {
            "repositoryLocationName": "agent_assets",
            "repositoryName": "__repository__",
            "jobName": "energy_expert_job",
            "assetSelection": [{"path": ["energy_expert", "mcp_tool_schema"]}],
        },
        "runConfigData": {"resources": {resource: {"config": config}}},
    }
    answer = up.graphql(LAUNCH, {"params": params}).json()["data"]["launchRun"]
    assert answer["__typename"] == "RunConfigValidationInvalid"
    (field,) = config
    assert (
        f'unexpected config entry "{field}" at path root:resources:{resource}'
        in answer["errors"][0]["message"]
    )


def socket(up: Installation, **headers: str) -> ClientConnection:
    origin = headers.pop("Origin", f"http://127.0.0.1:{up.ui}")
    address = f"ws://127.0.0.1:{up.ui}/graphql"
    spoken = [Subprotocol("graphql-ws")]
    return connect(address, origin=Origin(origin), subprotocols=spoken, additional_headers=headers)


def test_a_websocket_of_another_origin_is_refused(up: Installation) -> None:
    for headers in (
        {"Origin": EVIL},
        {"Origin": OTHER_PORT},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        with pytest.raises(InvalidStatus) as refused:
            socket(up, **headers)
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"ws://127.0.0.1:{up.ui}/graphql",
            origin=Origin("http://evil.example"),
            additional_headers={"Host": "evil.example"},
        )
    assert refused.value.response.status_code == 400  # two Hosts are no HTTP request


def started(kind: str, query: str, number: str = "1") -> str:
    return json.dumps({"id": number, "type": kind, "payload": {"query": query, "variables": {}}})


def test_a_websocket_carries_live_updates_and_no_mutation(up: Installation) -> None:
    with socket(up) as live:
        live.send('{"type": "connection_init", "payload": {}}')
        assert json.loads(live.recv(30)) == {"type": "connection_ack"}
        for number, query in enumerate((MUTATION, BESIDE_A_QUERY)):
            live.send(started("start", query, f"m{number}"))
            refused = json.loads(live.recv(30))
            assert refused["type"] == "error" and "by POST alone" in refused["payload"]["message"]
        # The other protocol of GraphQL over websockets, which Dagster does not speak.
        live.send(started("subscribe", MUTATION))
        # A message in pieces is one message.
        whole = started("start", MUTATION, "pieces")
        live.send([whole[:20], whole[20:60], whole[60:]])
        assert json.loads(live.recv(30))["id"] == "pieces"
        live.send(
            started(
                "start",
                "subscription { locationStateChangeEvents { event { message } } }",
                "events",
            )
        )
        up.graphql(RELOAD)
        update = json.loads(live.recv(60))
        assert (update["type"], update["id"]) == ("data", "events") and "errors" not in update[
            "payload"
        ]
        live.send(whole.encode())  # bytes
        with pytest.raises(ConnectionClosed):
            live.recv(30)


def test_nothing_but_the_ui_and_the_api_listens_and_they_do_on_loopback(up: Installation) -> None:
    mongod = running_mongod(up.settings.mongo_data)
    assert mongod is not None
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in (*up.processes, psutil.Process(mongod.pid))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", up.ui), ("127.0.0.1", up.api)}
    sockets = {
        Path(str(connection.laddr))
        for process in (*up.processes, psutil.Process(mongod.pid))
        for connection in process.net_connections("unix")
        if str(connection.laddr).startswith("/")
    }
    assert {path.name for path in sockets} >= {"code-server.sock", "mongod.sock"}
    assert [
        path for path in sockets if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ] == []


@only_root
def test_another_user_of_the_machine_is_not_let_in(up: Installation) -> None:
    def ask() -> object:
        replies = [
            raw(up.ui, "GET", "/"),
            raw(up.ui, "GET", f"/graphql?{urlencode({'query': '{ version }'})}"),
            raw(up.ui, "POST", "/graphql", [*JSON.items()], json.dumps({"query": MUTATION})),
            raw(up.ui, "GET", "/server_info", [("X-Forwarded-For", "127.0.0.1")]),
            raw(up.api, "GET", "/models"),
            raw(up.api, "POST", "/train/start", [*JSON.items()], '{"elder_id": "energy_expert"}'),
        ]
        return [reply.status for reply in replies]

    assert as_another_user(ask) == str([401] * 6)
    assert "PermissionError" in as_another_user(lambda: list(up.settings.home.iterdir()))


def test_the_owner_works_as_before(up: Installation) -> None:
    assert raw(up.ui, "GET", "/runs").status == 200
    assert (
        up.graphql(ADD.format("mine"))
        .json()["data"]["addDynamicPartition"]["__typename"]
        .endswith("Success")
    )
    assert "mine" in up.instance.get_dynamic_partitions("elders")
    assert up.graphql(RELOAD).json()["data"]["reloadRepositoryLocation"] == {"loadStatus": "LOADED"}


def test_links_to_log_in_lead_nowhere_else(up: Installation) -> None:
    for target in (
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "",
    ):
        page = raw(up.ui, "GET", f"/login?next={quote(target)}")
        assert page.status == 200 and "evil" not in page.text and "alert(1)" not in page.text
    page = raw(up.ui, "GET", f"/login?next={quote('/runs?x=' + chr(34) + '><script>')}")
    assert "<script>" not in page.text
