"""A run whose process was killed outright gives back its place in the pool."""

import subprocess
import sys
import uuid
from pathlib import Path

import dagster as dg
import psutil
import pytest

from agent_assets.dagster_internals import GRPC_INFO_TAG
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.orphans import process_tag, release_abandoned_runs
from agent_assets.settings import load_settings

PROGRAM = """
import os, signal, sys, uuid
import dagster as dg
from agent_assets.runs.orphans import process_tag
from agent_assets.runs.instance import open_instance
from agent_assets.settings import load_settings

@dg.asset(pool="gpu")
def slow():
    os.kill(os.getpid(), signal.SIGKILL)

with open_instance(load_settings()) as instance:
    run_id = str(uuid.uuid4())
    job = dg.Definitions([slow]).resolve_implicit_global_asset_job_def()
    job.execute_in_process(instance=instance, run_id=run_id, tags=process_tag(run_id))
"""


def test_a_clock_that_is_set_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What psutil calls the start of a process moves with the machine's clock."""
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        run_id = str(uuid.uuid4())
        instance.add_run(
            dg.DagsterRun(
                "job", run_id, status=dg.DagsterRunStatus.STARTED, tags=process_tag(run_id)
            )
        )
        boot = psutil.boot_time()
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
        assert release_abandoned_runs(instance) == []


def test_a_killed_run_is_failed_and_frees_its_pool(tmp_path: Path) -> None:
    environment = {"AGENT_ASSETS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    settings = load_settings(environment)
    prepare_dagster_home(settings)
    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, check=False, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]

    @dg.asset(pool="gpu")
    def after() -> None:
        pass

    with open_instance(settings) as instance:
        (abandoned,) = release_abandoned_runs(instance)
        run = instance.get_run_by_id(abandoned)
        assert run is not None and run.status == dg.DagsterRunStatus.FAILURE
        assert dg.materialize([after], instance=instance).success
        assert release_abandoned_runs(instance) == []


def test_what_a_killed_installation_left_unfinished_ends_with_its_next_start(
    tmp_path: Path,
) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    prepare_dagster_home(settings)
    watched = {GRPC_INFO_TAG: "{}"}
    states = [
        # The daemon was killed before it asked a code server for the run
        (dg.DagsterRunStatus.STARTING, {}, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.NOT_STARTED, {}, dg.DagsterRunStatus.FAILURE),
        # The sensor's daemon puts it into the queue itself
        (dg.DagsterRunStatus.NOT_STARTED, {"dagster/run_key": "k"}, None),
        # A failed one would be tried again, though somebody cancelled it
        (dg.DagsterRunStatus.CANCELING, watched, dg.DagsterRunStatus.CANCELED),
    ]
    with open_instance(settings) as instance:
        expected = {}
        for status, tags, after in states:
            run = dg.DagsterRun("job", str(uuid.uuid4()), status=status, tags=tags)
            expected[run.run_id] = after or status
            instance.add_run(run)
        release_abandoned_runs(instance, code_server_gone=True)
        assert {run.run_id: run.status for run in instance.get_runs()} == expected
