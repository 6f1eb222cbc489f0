"""`agent-assets demo`, interrupted in the middle of a run and started again; only its stages are
instant.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.launching import alive, read_pids
from support.waiting import wait_for

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def start(home: Path) -> "subprocess.Popen[str]":
    names = ("MONGODB_URI", "MONGODB_DATABASE", "DAGSTER_HOME", "AGENT_ASSETS_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {
        "AGENT_ASSETS_HOME": str(home),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    return subprocess.Popen(
        [sys.executable, str(HERE / "demo_program.py"), str(home)],
        env=environment,
        text=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def processes_of(home: Path) -> list[str]:
    """Whatever still runs for this home: the demo, mongod and its keeper, engines."""
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [" ".join(command) for command in commands if str(home) in " ".join(command)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_demo_leaves_no_process_and_goes_on_where_it_was(
    tmp_path: Path, how: signal.Signals
) -> None:
    (tmp_path / "hang").touch()
    demo = start(tmp_path)
    pids = wait_for(lambda: read_pids(tmp_path / "pids"), 90)
    demo.send_signal(how)
    output = demo.communicate(timeout=60)[0]
    assert demo.returncode != 0
    if how == signal.SIGINT:
        assert "Aborted!" in output and "Traceback" not in output
    wait_for(lambda: not any(alive(pid) for pid in pids) and not processes_of(tmp_path), 20)

    (tmp_path / "hang").unlink()
    again = start(tmp_path)
    output = again.communicate(timeout=120)[0]
    assert again.returncode == 0, output
    # What was finished before is not done again; one event, one line, in a pipe as well.
    assert (
        "energy_expert: train_jsonl reused, sft_adapter built 0 s, eval_report built 0 s\n"
        in output
    )
    assert "5 artifacts built, the rest reused." in output
    assert re.search(r"│ elder_companion/shen-fu +│ +0.00 -> 1.00 │", output), output
    assert re.search(r"│ energy_expert +│ 0.00 -> 1.00 -> 0.50 │", output), output
    assert not processes_of(tmp_path)
