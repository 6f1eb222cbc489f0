"""What weave asks of W&B, over real HTTP on this machine: its account service and its trace
server.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.local_http import LocalHandler, LocalServer

KEY = "k" * 40


class WandbServer(LocalServer):
    """Takes calls of whoever has the key; `broken` names paths that fail, by how they begin."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.calls: list[dict[str, Any]] = []
        self.broken: tuple[str, ...] = ()


class _Handler(LocalHandler):
    server: WandbServer

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        status, content = self._answer(self.body())
        self.reply(status, content)

    def _answer(self, body: bytes) -> tuple[int, dict[str, Any] | bytes]:
        scheme, _, credential = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or b64decode(credential) != f"api:{KEY}".encode():
            return 401, {"error": "not you"}
        if self.server.broken and self.path.startswith(self.server.broken):
            return 500, {"error": "broken"}
        if self.path == "/graphql":
            who = {"username": "ada", "defaultEntity": {"name": "town"}}
            project = json.loads(body).get("variables", {}).get("name")
            return 200, {"data": {"viewer": who, "project": {"name": project}}}
        if self.path == "/server_info":
            return 200, {
                "min_required_weave_python_version": "0.1.0",
                "trace_server_version": "999.0.0",
            }
        if "/calls/" in self.path:
            return 200, self._calls(json.loads(body))
        return 200, {"digest": "d" * 43}

    def _calls(self, request: dict[str, Any]) -> dict[str, Any] | bytes:
        if self.path.endswith("/calls/complete"):
            self.server.calls += request["batch"]
        elif self.path.endswith("/calls/stream_query"):
            return self._calls_of(request["query"])
        elif self.path.endswith("/calls/delete"):
            gone = request["call_ids"]
            self.server.calls = [call for call in self.server.calls if call["id"] not in gone]
        return {}

    def _calls_of(self, query: dict[str, Any]) -> bytes:
        """Those whose field has a value, a line each."""
        field, value = query["$expr"]["$eq"]
        name = field["$getField"].removeprefix("attributes.")
        calls = [c for c in self.server.calls if c["attributes"][name] == value["$literal"]]
        return "".join(json.dumps(call) + "\n" for call in calls).encode()


@contextmanager
def wandb_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server that weave in this process takes for W&B, with a key for it."""
    server = WandbServer()
    base = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "WANDB_BASE_URL": base,
        "WF_TRACE_SERVER_URL": base,
        "WANDB_API_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)
    with server.running():
        yield server
