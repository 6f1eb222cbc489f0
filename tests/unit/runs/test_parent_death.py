"""A process of a run whose code server was killed outright."""

import subprocess
import sys
from pathlib import Path

import psutil

from support.command_line import ROOT as REPOSITORY
from support.waiting import wait_for

CODE_SERVER = """
import multiprocessing, os, time
from agent_assets.parent_death import end_with_parent

def run():
    os.setsid()  # as a run does that gives way
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(120)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=run).start()
    time.sleep(120)
"""


def test_a_run_does_not_outlive_a_code_server_that_was_killed(tmp_path: Path) -> None:
    program = tmp_path / "code_server.py"
    program.write_text(CODE_SERVER, encoding="utf-8")
    server = subprocess.Popen(
        [sys.executable, str(program)],
        env={"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    run = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.communicate()
    wait_for(lambda: not run.is_running() or run.status() == psutil.STATUS_ZOMBIE, 20)
