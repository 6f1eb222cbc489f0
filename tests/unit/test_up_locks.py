"""One `up` per home, and none beside what an `up` left behind that was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError
from agent_assets.settings import load_settings
from agent_assets.up_locks import alone, no_earlier_services, services_ended
from support.command_line import ROOT as REPOSITORY

# Dies before the supervisor of its service has even started.
KILLED = """
import os, signal, sys
from pathlib import Path
from agent_assets.services import _start
from agent_assets.settings import load_settings
from agent_assets.up_locks import no_earlier_services

with no_earlier_services(load_settings(), print) as lock:
    sleeping = ["python", "-c", "import time; time.sleep(120)"]
    folder = Path(sys.argv[1])
    _start("service", sleeping, os.environ, logs=folder, lock=lock, folder=folder)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_service_ends_whose_up_was_killed_at_its_start_and_the_next_up_waits_for_it(
    tmp_path: Path,
) -> None:
    environment = {"AGENT_ASSETS_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=environment,
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]
    reports: list[str] = []
    with no_earlier_services(load_settings(environment), reports.append):
        assert reports == ["waiting for the processes of an `up` that was killed"]


def test_a_second_up_is_refused_and_names_the_first(tmp_path: Path) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path)})
    with alone(settings):
        held = (tmp_path / "up.lock").read_text(encoding="ascii")
        with pytest.raises(ConfigError, match=rf"up already \(process {held}\)"), alone(settings):
            pass
    with alone(settings):
        pass


def test_commands_know_whether_services_run_or_still_end(tmp_path: Path) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path)})
    with no_earlier_services(settings, print), services_ended(settings) as ended:
        assert not ended
    with services_ended(settings) as ended:
        assert ended
