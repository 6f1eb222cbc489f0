"""The pool `gpu` of the shipped dagster.yaml: two runs at once, one device."""

import subprocess
import sys
from pathlib import Path

from agent_assets.runs.instance import prepare_dagster_home
from agent_assets.settings import load_settings

PROGRAM = """
import sys, time
import dagster as dg
from agent_assets.runs.instance import open_instance
from agent_assets.settings import load_settings

@dg.asset(pool=sys.argv[1])
def trains():
    print(time.time(), flush=True)
    time.sleep(2)
    print(time.time(), flush=True)

with open_instance(load_settings()) as instance:
    assert dg.materialize([trains], instance=instance).success
"""


def spans(home: Path, pool: str) -> list[tuple[float, float]]:
    """When the asset began and ended in two runs started together."""
    environment = {"AGENT_ASSETS_HOME": str(home), "PATH": "/usr/bin:/bin"}
    prepare_dagster_home(load_settings(environment))
    runs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, pool], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=120)[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    first, second = sorted((float(begin), float(end)) for begin, end in said)
    return [first, second]


def test_two_runs_take_turns_on_the_gpu(tmp_path: Path) -> None:
    first, second = spans(tmp_path, "gpu")
    assert first[1] <= second[0]
