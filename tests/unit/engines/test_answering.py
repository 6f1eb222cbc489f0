"""Who is being answered, as a trainer beside it sees."""

import subprocess
import sys
from pathlib import Path

from agent_assets.engines.devices.answering import (
    VARIABLE,
    AnswerSignal,
    answering_file,
    is_answering,
)
from agent_assets.engines.devices.gpu import CPU, Device, lease_device

ANSWERS = """
import sys
from pathlib import Path
from agent_assets.engines.devices.answering import AnswerSignal
answering = AnswerSignal(Path(sys.argv[1]))
answering.begin()
print("answering", flush=True)
sys.stdin.read()
"""


def test_answers_that_overlap_are_seen_until_the_last_has_ended(tmp_path: Path) -> None:
    file = answering_file(tmp_path / "leases")
    answering = AnswerSignal(file)
    assert not is_answering(file)
    answering.begin()
    answering.begin()
    answering.end()
    assert is_answering(file)
    answering.end()
    assert not is_answering(file)


def test_an_answer_ends_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "answering.lock"
    with subprocess.Popen(
        [sys.executable, "-c", ANSWERS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert is_answering(file)
        server.kill()
        server.wait()
    assert not is_answering(file)


def test_engines_on_the_cpu_are_told_where_to_look(tmp_path: Path) -> None:
    with lease_device([CPU], tmp_path, holder="run", timeout_seconds=1) as lease:
        assert lease.environment == {
            "CUDA_VISIBLE_DEVICES": "",
            VARIABLE: str(answering_file(tmp_path)),
        }
    with lease_device(
        [Device("gpu", "GPU-1", "0")], tmp_path, holder="run", timeout_seconds=1
    ) as lease:
        assert VARIABLE not in lease.environment
