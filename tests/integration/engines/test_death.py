"""No engine outlives its run, however the run ends, and a device is used by one run at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_assets.engines.devices.gpu import CPU, lease_device
from agent_assets.errors import EngineTimeout
from support.command_line import ROOT as REPOSITORY
from support.launching import SUPPORT, alive, read_pids
from support.waiting import wait_for


def start_worker(work: Path, leases: Path) -> "subprocess.Popen[bytes]":
    work.mkdir()
    temporary = work / "temporary"
    temporary.mkdir()
    environment = os.environ | {
        "PYTHONPATH": f"{SUPPORT}{os.pathsep}{REPOSITORY}",
        "TMPDIR": str(temporary),
    }
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / "launching.py"), str(work), str(leases)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_engine_and_its_children_end_with_the_run(tmp_path: Path, how: signal.Signals) -> None:
    worker = start_worker(tmp_path / "work", tmp_path / "leases")
    try:
        pids = wait_for(lambda: read_pids(tmp_path / "work" / "pids"), 60)
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        assert any((tmp_path / "work" / "temporary").glob("engine-*"))
        worker.send_signal(how)
        assert worker.wait(timeout=30) != 0
        wait_for(lambda: not any(alive(pid) for pid in pids), 5)
        wait_for(lambda: not any((tmp_path / "work" / "temporary").glob("engine-*")), 5)
    finally:
        worker.kill()
        worker.wait()


def test_the_engine_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    worker = start_worker(tmp_path / "work", tmp_path / "leases")
    try:
        program, grandchild = wait_for(lambda: read_pids(tmp_path / "work" / "pids"), 60)
        supervisor = int(
            Path(f"/proc/{program}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
        )
        os.kill(supervisor, signal.SIGKILL)
        worker.wait(timeout=30)
        assert not alive(program)
    finally:
        worker.kill()
        worker.wait()
        if alive(grandchild):  # in a session of its own; only the supervisor could have found it
            os.kill(grandchild, signal.SIGKILL)


def test_a_device_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    leases = tmp_path / "leases"
    worker = start_worker(tmp_path / "work", leases)
    try:
        wait_for(lambda: read_pids(tmp_path / "work" / "pids"), 60)
        reports: list[str] = []
        with (
            pytest.raises(EngineTimeout, match=f"first-run, process {worker.pid}"),
            lease_device(
                [CPU], leases, holder="second-run", timeout_seconds=1, report=reports.append
            ),
        ):
            pass
        assert len(reports) == 1
    finally:
        worker.kill()
        worker.wait()
    with lease_device([CPU], leases, holder="second-run", timeout_seconds=10):
        pass


def test_an_engine_that_outlives_its_worker_keeps_the_device(tmp_path: Path) -> None:
    with lease_device([CPU], tmp_path, holder="dead-run", timeout_seconds=1) as lease:
        engine = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lease.fd,)
        )
        lease.note_engine(engine.pid)
    try:
        with (
            pytest.raises(EngineTimeout, match="dead-run"),
            lease_device([CPU], tmp_path, holder="b", timeout_seconds=1),
        ):
            pass
    finally:
        engine.kill()
        engine.wait()
    started = time.monotonic()
    with lease_device([CPU], tmp_path, holder="b", timeout_seconds=5):
        assert time.monotonic() - started < 1
