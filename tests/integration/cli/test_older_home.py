"""A home of the version before: `doctor` names what is open, `up` closes it and says so, and
nothing else changes.
"""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.free_ports import free_port
from agent_assets.planning.history import latest_materialization
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.serving.tokens import DATABASE
from agent_assets.settings import load_settings
from support.command_line import OURS, ROOT, agent_assets
from support.history_scan import places_of
from support.installed import raw
from support.older_home import (
    KEY,
    OTHER_SECRET,
    PASSWORD,
    TOKEN,
    make_history,
    open_mongod,
    open_to_all,
    unsealed_token,
)
from support.waiting import wait_for

READY = "Ctrl-C stops everything"
MADE = ("mcp_tool_schema", "questions")


def make_artifacts(instance: dg.DagsterInstance) -> None:
    """Two real artifacts, so that there is something that is fresh."""
    from agent_assets.definitions import defs

    job = defs().resolve_job_def("energy_expert_job")
    selection = [dg.AssetKey(["energy_expert", name]) for name in MADE]
    assert job.execute_in_process(instance=instance, asset_selection=selection).success


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(folder))
    quiet = tmp_path / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    monkeypatch.setenv("AGENT_ASSETS_AUTOMATION", str(quiet))
    settings = load_settings()
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        make_artifacts(instance)
        make_history(instance)
    with open_mongod(folder / "mongodb") as client:
        client[DATABASE].tokens.insert_one(unsealed_token())
        client.afs.answers.insert_one({"_id": 1, "answer": "沧浪亭"})
        open_to_all(folder)
        report = doctor(folder)
        assert (
            "lets everybody of this machine in" in report
            and "Open to others: home, MongoDB, history." in report
        )
        refused = agent_assets(
            folder, "up", "--port", str(free_port()), "--api-port", str(free_port())
        )
        assert refused.returncode == 1 and "open to everybody on this machine" in refused.stderr
        open_to_all(folder)
    return folder


def doctor(home: Path) -> str:
    return agent_assets(home, "doctor", AGENT_ASSETS_DAGSTER_URL="http://127.0.0.1:1").stdout


@contextmanager
def up(home: Path, output: Path) -> Iterator[tuple[int, int, str]]:
    """`agent-assets up`: ports of UI and API, and what it said until it was ready."""
    ports = free_port(), free_port()
    command = [sys.executable, "-c", "from agent_assets.cli.main import main; main()", "up"]
    command += ["--port", str(ports[0]), "--api-port", str(ports[1])]
    environment = os.environ | {"AGENT_ASSETS_HOME": str(home), "PYTHONPATH": str(ROOT)}
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(
            lambda: READY in output.read_text(encoding="utf-8") or process.poll() is not None, 120
        )
        assert process.poll() is None, output.read_text(encoding="utf-8")
        wait_for(lambda: raw_status(ports[1]) == 200, 60)
        yield *ports, output.read_text(encoding="utf-8")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def raw_status(port: int) -> int:
    try:
        return raw(port, "GET", "/health").status
    except ConnectionError:
        return 0


def test_up_closes_what_it_finds_open_and_says_so(home: Path, tmp_path: Path) -> None:
    assert places_of(OTHER_SECRET, home)
    with up(home, tmp_path / "first") as (ui, api, output):
        closed = [line for line in output.splitlines() if line.startswith("closed: ")]
        assert len(closed) == 4, output
        for words in (
            f"such as {home} (mode 755)",
            "MongoDB, which listened on port",
            "passwords in",
            "0a1b2c3d",
        ):
            assert any(words in line for line in closed), words
        bearer = [("Authorization", f"Bearer {TOKEN}")]
        for port, path in ((ui, "/server_info"), (api, "/models")):
            assert (raw(port, "GET", path).status, raw(port, "GET", path, bearer).status) == (
                401,
                200,
            )
    for place in (
        home,
        home / "dagster",
        home / "dagster" / "history" / "runs.db",
        home / "mongodb" / "mongod.log",
    ):
        assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0, place
    for secret in (PASSWORD, json.dumps(PASSWORD).strip('"'), "the+hidden", OTHER_SECRET):
        assert places_of(secret, home) == []
    with open_instance(load_settings()) as instance:
        assert (
            instance.get_runs_count() == 3
            and latest_materialization(instance, KEY, None) is not None
        )
    with up(home, tmp_path / "second") as (_, _, output):
        assert "closed: " not in output
        plan = json.loads(
            agent_assets(home, "plan", "--pipeline", "energy_expert", "--json").stdout
        )
    stale = {cell["asset"] for cell in plan["cells"]}
    assert stale and not stale & set(MADE)
    assert "OPEN" not in doctor(home)
