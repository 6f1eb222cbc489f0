"""The clock of the host set an hour back and a day ahead, under everything that looks at it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import ROOT as REPOSITORY
from support.moved_clock import NOW, faketime_environment, find_faketime

PROGRAM = Path(__file__).with_name("with_a_moved_clock.py")


def test_plans_leases_tokens_and_records_survive_a_clock_that_is_set(
    mongo_uri: str, tmp_path: Path
) -> None:
    faketime = find_faketime()
    if faketime is None:
        pytest.skip("libfaketime is not installed: deploy/test-packages.sh")
    # MongoDB is outside: under libfaketime mongod does not end.
    moved = {"MONGODB_URI": mongo_uri, "FAKETIME": NOW, "FAKETIME_NO_CACHE": "1"}
    moved |= faketime_environment(faketime, tmp_path, path=str(REPOSITORY / "tests"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(PROGRAM)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ | moved,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    output = done.stdout.decode(errors="replace")
    assert done.returncode == 0 and "6 passed" in output, output[-4000:]
