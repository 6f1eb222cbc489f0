"""A running installation of its own, and requests as attackers write them: no client library tidies
them up.
"""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil
import pytest

from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import running_mongod
from agent_assets.runs.instance import open_instance
from agent_assets.services import Service, running_services
from agent_assets.serving.tokens import DATABASE, Tokens
from agent_assets.settings import Settings, load_settings
from support.command_line import OURS
from support.waiting import wait_for

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def raw(
    port: int,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    body: str | bytes = b"",
) -> Reply:
    """One request to loopback; `headers` may name one twice, and without a Host there is the usual
    one.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if not any(name.lower() == "host" for name, _ in headers):
            connection.putheader("Host", f"127.0.0.1:{port}")
        content = body.encode() if isinstance(body, str) else body
        for name, value in (
            *headers,
            *([("Content-Length", str(len(content)))] if content else []),
        ):
            connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        return Reply(
            answer.status, dict(answer.getheaders()), answer.read().decode("utf-8", "replace")
        )
    finally:
        connection.close()


@dataclass(frozen=True)
class Installation:
    """What `agent-assets up` starts."""

    settings: Settings
    ui: int
    api: int
    services: list[Service]
    instance: dg.DagsterInstance

    def graphql(self, query: str, variables: object = None, **headers: str) -> Reply:
        """A request as Dagster's own pages send it."""
        body = json.dumps({"query": query, "variables": variables})
        return raw(self.ui, "POST", "/graphql", [*(JSON | headers).items()], body)

    def tokens(self) -> Tokens:
        """The tokens of this installation, to be closed."""
        uri = self.settings.mongodb_uri
        if uri is None:
            mongod = running_mongod(self.settings.mongo_data)
            assert mongod is not None
            uri = mongod.uri
        return Tokens(uri, self.settings, DATABASE)

    @property
    def processes(self) -> list[psutil.Process]:
        """Every process of it but MongoDB."""
        started = [psutil.Process(service.process.pid) for service in self.services]
        return [
            process for parent in started for process in (parent, *parent.children(recursive=True))
        ]

    @property
    def command_lines(self) -> list[str]:
        """Of these processes. One that has ended, and that nobody has waited for, has none."""
        lines = []
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline()))
        return lines


@contextmanager
def installation(folder: Path, **variables: str) -> Iterator[Installation]:
    """Start one below `folder`, with an embedded MongoDB unless MONGODB_URI is given. Nothing
    starts on its own.
    """
    quiet = folder / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    given = {"AGENT_ASSETS_HOME": str(folder / "home"), "AGENT_ASSETS_AUTOMATION": str(quiet)}
    given |= {
        "AGENT_ASSETS_ENGINES": str(folder / "none"),
        "AGENT_ASSETS_DEVICE": "cpu",
    } | variables
    with pytest.MonkeyPatch.context() as patch:
        for name in OURS:
            patch.delenv(name, raising=False)
        for name, value in given.items():
            patch.setenv(name, value)
        settings, ui, api = load_settings(), free_port(), free_port()
        with (
            running_services(settings, port=ui, api_port=api) as services,
            open_instance(settings) as instance,
        ):
            wait_for(lambda: _answers(api), 60)
            yield Installation(settings, ui, api, services, instance)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False
