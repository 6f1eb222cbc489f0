"""A code server whose process that executes code was killed."""

import itertools
import subprocess
import sys

import psutil
import pytest

from agent_assets.process_tree import processes_below
from agent_assets.runs.code_server import CodeServer
from support.waiting import wait_for

# As `dagster code-server`: starts a child at first, and another one for every line.
HANDS_ON = """
import subprocess, sys
executes = [sys.executable, "-c", "import time; time.sleep(120)", "api", "grpc"]
children = [subprocess.Popen(executes)]
print(children[-1].pid, flush=True)
for line in sys.stdin:
    children.append(subprocess.Popen(executes))
    print(children[-1].pid, flush=True)
for child in children:
    child.kill()
"""


def test_it_is_noticed_that_nothing_executes_and_a_reload_is_not_taken_for_that() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANDS_ON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        before = psutil.Process(int(process.stdout.readline()))
        server = CodeServer(process.pid)
        assert server.executes()
        process.stdin.write("reload\n")
        process.stdin.flush()
        after = psutil.Process(int(process.stdout.readline()))
        before.kill()
        assert server.executes()
        after.kill()
        wait_for(lambda: not server.executes(), 10)
    finally:
        process.communicate()


def test_a_clock_that_moves_hides_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of boot, as the kernel tells it, is a second less at every look."""
    times = itertools.count(psutil.boot_time(), -1.0)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: next(times))
    child = "import subprocess, sys; subprocess.run(['sleep', '60'])"
    process = subprocess.Popen([sys.executable, "-c", child])
    try:
        below = wait_for(lambda: processes_below(process.pid), 10)
        assert [one.name() for one in below] == ["sleep"]
        assert psutil.Process(process.pid).children() == []
    finally:
        for one in processes_below(process.pid):
            one.kill()
        process.wait()
