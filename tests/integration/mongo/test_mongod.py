"""The embedded mongod: found, started once per folder, reopened with its data, ended with its parent."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from agent_assets.errors import ConfigError, MongoUnavailable
from resources.mongo_retry import connect
from resources.mongod import find_mongod, running_mongod, start_mongod

# Starts mongod on argv[1], says where, and stays.
STARTER = """
import sys, time
from pathlib import Path
from resources.mongod import start_mongod
handle = start_mongod(Path(sys.argv[1]), detach=sys.argv[2] == "detach")
print(handle.pid, handle.started, flush=True)
time.sleep(60)
"""


def starter(folder: Path, mode: str = "attached") -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", STARTER, str(folder), mode], stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> tuple[int, bool]:
    assert process.stdout is not None
    pid, started = process.stdout.readline().split()
    return int(pid), started == "True"


def ended_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_data_and_port_survive_a_restart(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_one({"_id": 1, "answer": "沧浪亭"})
    assert running_mongod(tmp_path) is None
    with start_mongod(tmp_path) as again, connect(again.uri) as client:
        assert again.uri == mongod.uri and again.started
        assert client.afs.answers.find_one() == {"_id": 1, "answer": "沧浪亭"}
        assert client.admin.command("hello")["setName"] == "rs0"  # transactions and change streams need it


def test_acknowledged_writes_survive_kill_nine(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_many([{"_id": number} for number in range(1000)])
        os.kill(mongod.pid, signal.SIGKILL)
        assert ended_within(mongod.pid, 10)
    with start_mongod(tmp_path) as again, connect(again.uri) as client:
        assert client.afs.answers.count_documents({}) == 1000


def test_other_port_and_moved_folder_keep_the_data(tmp_path: Path) -> None:
    with start_mongod(tmp_path / "a") as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_one({"_id": 1})
    shutil.move(tmp_path / "a", tmp_path / "b")
    with start_mongod(tmp_path / "other") as squatter:  # takes the port of the moved one
        squatter.stop()
    port = json.loads((tmp_path / "b" / "mongod.json").read_text())["port"]
    with start_mongod(tmp_path / "squatter", port=port), start_mongod(tmp_path / "b") as moved:
        assert moved.uri != mongod.uri and moved.started
        with connect(moved.uri) as client:
            assert client.afs.answers.find_one() == {"_id": 1}


def test_second_start_joins_and_does_not_end_the_first(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as first:
        with start_mongod(tmp_path) as second:
            assert (second.pid, second.uri, second.started) == (first.pid, first.uri, False)
        assert running_mongod(tmp_path) is not None


def test_two_starts_at_once_make_one_mongod(tmp_path: Path) -> None:
    processes = [starter(tmp_path) for _ in range(3)]
    try:
        answers = [said(process) for process in processes]
        assert len({pid for pid, _ in answers}) == 1
        assert sorted(started for _, started in answers) == [False, False, True]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert ended_within(answers[0][0], 15)


def test_dies_with_its_parent_unless_detached(tmp_path: Path) -> None:
    for mode in ("attached", "detach"):
        process = starter(tmp_path / mode, mode)
        pid, _ = said(process)
        process.kill()
        process.communicate()
        assert ended_within(pid, 15 if mode == "attached" else 1) is (mode == "attached")
    detached = running_mongod(tmp_path / "detach")
    assert detached is not None
    detached.stop()
    assert ended_within(detached.pid, 1)
    detached.stop()  # nothing happens


def test_failing_start_names_the_log(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "WiredTiger.turtle").write_text("broken")
    with pytest.raises(MongoUnavailable, match="ended with exit code") as error:
        start_mongod(tmp_path, timeout_s=30)
    assert str(tmp_path / "mongod.log") in (error.value.next_step or "")


def test_broken_state_file_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "mongod.json").write_text('{"port": 12')
    with start_mongod(tmp_path) as mongod:
        assert mongod.started


def test_memories_do_not_stand_in_the_log(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_one({"answer": "a very private memory"})
        list(client.afs.answers.find({"$where": "sleep(300) || true", "answer": "a very private memory"}))
    assert "private memory" not in (tmp_path / "mongod.log").read_text(encoding="utf-8")


def test_mongod_bin_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "my-mongod"
    own.symlink_to(find_mongod())
    monkeypatch.setenv("MONGOD_BIN", str(own))
    assert find_mongod() == own.resolve()
    monkeypatch.setenv("MONGOD_BIN", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="MONGOD_BIN") as error:
        find_mongod()
    assert error.value.next_step
