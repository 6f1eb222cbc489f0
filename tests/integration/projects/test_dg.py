"""`dg` in a project that `agent-assets init` wrote, and in a checkout."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from agent_assets.free_ports import free_port
from agent_assets.projects.init import write_project
from support.command_line import ROOT
from support.waiting import wait_for

PROGRAM = Path(__file__).with_name("dg_commands.py")
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"


@pytest.fixture(params=["project", "checkout"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which somebody calls `dg`."""
    if request.param == "project":
        write_project(tmp_path / "dg_agents", samples=False)
        return tmp_path / "dg_agents"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("agent_assets", "resources"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    ours = ("MONGODB", "AGENT_ASSETS", "DAGSTER")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    (place / "home").mkdir(exist_ok=True)
    # Without this file `dg` reports its use to the makers of Dagster.
    shutil.copy(ROOT / "agent_assets" / "runs" / "dagster.yaml", place / "home")
    # The code of a checkout is its own; that of a project is installed.
    own = {"PYTHONPATH": str(place)} if (place / "agent_assets").is_dir() else {}
    return variables | own | {"DAGSTER_HOME": str(place / "home")}


def dg(place: Path, *commands: str) -> tuple[dict[str, str], str]:
    """Run commands; exit codes of each, and all they printed."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps([command.split() for command in commands])],
        env=environment(place) | {"COLUMNS": "300"},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line[3:] for line in done.stdout.splitlines() if line.startswith("== ")]
    return dict(line.rsplit(": ", 1) for line in lines), done.stdout + done.stderr


def test_commands_of_dg(place: Path) -> None:
    commands = [
        "list components",
        "scaffold defs agent_assets.AgentPipeline second_agent",
        "scaffold defs agent_assets.AgentPipeline third-agent",
        "check defs",
        "list defs --json",
        "launch --assets second_agent/mcp_tool_schema",
    ]
    codes, output = dg(place, *commands)
    failed = {command for command, code in codes.items() if code != "0"}
    assert list(codes) == commands and failed == {commands[2]}, output
    assert "'third-agent' cannot be the name of a pipeline" in output
    assert "agent_assets.AgentPipeline" in output and "All definitions loaded" in output
    (defs,) = place.glob("*/defs")
    assert not (defs / "third-agent").exists()
    assert "second_agent/sft_adapter" in output
    assert list((place / ".agent_assets" / "store" / "second_agent").rglob("tool_schema.json"))


@pytest.mark.parametrize("place", ["project"], indirect=True)  # the other takes as long again
def test_dg_dev_serves_it(place: Path) -> None:
    with dev(place) as url:
        wait_for(lambda: _loaded(url) == [("agent_assets", "LOADED")], seconds=90)


@contextmanager
def dev(place: Path) -> Iterator[str]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--port", str(port)]
    with (place / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"],
            env=environment(place),
            cwd=place,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _loaded(url: str) -> list[tuple[str, str]]:
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": LOCATIONS}, timeout=5.0)
    except httpx.TransportError:
        return []
    entries = answer.json()["data"]["workspaceOrError"]["locationEntries"]
    return [(entry["name"], entry["loadStatus"]) for entry in entries]
