"""Who goes first on the cores, read back from the kernel."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from agent_assets.priority import LOWEST, RunPriority

SESSION = Path("/proc/self/autogroup")
BY_SESSION = pytest.mark.skipif(
    not SESSION.exists(), reason="this kernel does not group processes by session"
)
READ_SESSION = f"print(open('{SESSION}').read().split()[-1])"


def session_niceness() -> int:
    return int(SESSION.read_text(encoding="ascii").split()[-1])


def niceness_of_threads() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in tasks}


def child_output(priority: RunPriority) -> str:
    command, arguments = priority.child_command(sys.executable, ["-c", READ_SESSION])
    done = subprocess.run(
        [command, *arguments], start_new_session=True, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _prepare_then_work(answer: Connection) -> None:
    """In a process like that of a run: started by another one of ours."""
    priority = RunPriority()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    priority.give_way()
    answer.send((os.getsid(0) == os.getpid(), session_niceness(), child_output(priority)))
    priority.take_turn(5)
    answer.send((niceness_of_threads() == {before}, session_niceness(), child_output(priority)))


@BY_SESSION
def test_a_run_that_prepares_goes_last_with_its_tool_servers_and_comes_back() -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_prepare_then_work, args=(there,))
    process.start()
    assert here.recv() == (True, LOWEST, str(LOWEST))
    assert here.recv() == (True, 5, "0")
    process.join()
    assert process.exitcode == 0


def test_a_run_in_a_terminal_stays_in_its_session_where_ctrl_c_reaches_it() -> None:
    session = os.getsid(0)
    priority = RunPriority()
    priority.give_way()
    assert os.getsid(0) == session
    assert priority.child_command("python", ["-m", "server"]) == ("python", ["-m", "server"])


@BY_SESSION
def test_a_command_that_does_not_exist_stays_as_it_is_for_its_own_error() -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_unknown_command, args=(there,))
    process.start()
    assert here.recv() == ("no-such-program", ["--flag"])
    process.join()


def _unknown_command(answer: Connection) -> None:
    priority = RunPriority()
    priority.give_way()
    answer.send(priority.child_command("no-such-program", ["--flag"]))
