"""When `up` takes its daemon for ready."""

import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from agent_assets import services
from agent_assets.errors import EngineFailed
from agent_assets.runs.instance import heartbeat_at, open_instance, prepare_dagster_home
from agent_assets.services import Service
from agent_assets.settings import load_settings


def beat(instance: dg.DagsterInstance, at: float) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, "QUEUED_RUN_COORDINATOR", "daemon", []))


def test_a_daemon_is_ready_whatever_time_its_clock_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    prepare_dagster_home(settings)
    process = subprocess.Popen(["sleep", "60"])
    daemon = Service("daemon", process, tmp_path / "daemon.log")
    try:
        with open_instance(settings) as instance:
            beat(instance, time.time() + 86_400)
            earlier = heartbeat_at(instance)
            monkeypatch.setattr(services, "_READY_SECONDS", 1.0)
            with pytest.raises(EngineFailed, match="The daemon did not start"):
                services._wait_for_daemon(daemon, settings, earlier)
            beat(instance, time.time() - 3600)  # the clock was a day ahead, and is an hour back
            services._wait_for_daemon(daemon, settings, earlier)
    finally:
        process.kill()
        process.wait()
