"""The process between a worker and an engine: its signals, and its priority."""

import os
import signal
import subprocess
import sys
import time

import pytest

from agent_assets.engines.launch.waiting import ended_within
from support.command_line import ROOT as REPOSITORY
from support.waiting import wait_for

# Says that it is there, and does not end on SIGTERM.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.nice(0), flush=True)
time.sleep(60)
"""


def supervised(*options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "agent_assets.engines.launch.supervisor", *options]
    command += ["--exec", sys.executable, "-c", STUBBORN]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize(("number", "at_once"), [(signal.SIGQUIT, True), (signal.SIGTERM, False)])
def test_a_cancelled_engine_has_no_time_of_grace(number: signal.Signals, at_once: bool) -> None:
    process = supervised("--grace", "4")
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(number)
    assert ended_within(process, 2.0) is at_once
    assert ended_within(process, 20)


def test_an_engine_in_the_background_lets_others_go_first() -> None:
    process = supervised("--nice", "5")
    assert process.stdout is not None
    assert int(process.stdout.readline()) == max(os.nice(0), 5)
    process.send_signal(signal.SIGQUIT)
    process.wait()


def test_waiting_for_an_end_sleeps_until_it_comes() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"])
    used = time.process_time()
    assert not ended_within(process, 0.2)
    assert ended_within(process, 30) and process.returncode == 0
    assert time.process_time() - used < 0.1
    wait_for(lambda: ended_within(process, 0), 1)  # of one that was collected it is known
