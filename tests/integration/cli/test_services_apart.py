"""The services as containers and systemd start them: each command by itself, on one home, with a
MongoDB and a PostgreSQL of their own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from agent_assets.free_ports import free_port
from agent_assets.settings import load_settings
from support.command_line import OURS, ROOT, agent_assets, error_of
from support.waiting import wait_for

LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
PROGRAM = str(Path(sys.executable).parent / "agent-assets")


@contextmanager
def started(variables: Mapping[str, str], *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([PROGRAM, *command], env=variables, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def test_services_that_are_started_apart_make_one_installation(
    tmp_path: Path, mongo_uri: str, mongo_db: object, postgres_url: str
) -> None:
    home, ui, api = tmp_path / "home", free_port(), free_port()
    own = {
        "AGENT_ASSETS_HOME": str(home),
        "AGENT_ASSETS_DEVICE": "cpu",
        "MONGODB_URI": mongo_uri,
        "DAGSTER_POSTGRES_URL": postgres_url,
        "AGENT_ASSETS_DAGSTER_URL": f"http://127.0.0.1:{ui}",
    }
    variables = {name: value for name, value in os.environ.items() if name not in OURS} | own
    settings = load_settings(variables)
    with started(variables, "code-server"):
        socket = home / "run" / "code-server.sock"
        wait_for(socket.exists, 60)
        with (
            started(variables, "ui", "--port", str(ui)),
            started(variables, "serve", "--port", str(api)),
        ):
            wait_for(lambda: health(api).get("dagster") == "ok", 60)
            states = health(api)
            assert states == {"store": "ok", "mongodb": "ok", "dagster": "ok", "inference": "cold"}
            reply = httpx.post(f"http://127.0.0.1:{ui}/graphql", json={"query": LOCATIONS}).json()
            entries = reply["data"]["workspaceOrError"]["locationEntries"]
            assert entries == [{"loadStatus": "LOADED"}]
        assert settings.workspace.is_file()
    assert "postgres_url:" in (home / "dagster" / "dagster.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["code-server", "daemon"])
def test_a_service_apart_starts_no_mongodb(command: str, tmp_path: Path) -> None:
    said = error_of(agent_assets(tmp_path, command))
    assert "need a MongoDB that none of them starts" in said and "set MONGODB_URI" in said


def health(port: int) -> dict[str, str]:
    """What the API says of its dependencies; nothing while it does not answer."""
    try:
        reply = httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
    except httpx.TransportError:
        return {}
    states: dict[str, str] = reply.json()["dependencies"]
    return states
