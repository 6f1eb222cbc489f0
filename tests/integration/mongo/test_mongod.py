"""The embedded mongod: found, started once per folder, reopened with its data, ended with its last
user.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from agent_assets.errors import ConfigError, MongoUnavailable
from agent_assets.mongo.embedded.access import Access
from agent_assets.mongo.embedded.mongod import find_mongod, running_mongod, start_mongod
from agent_assets.mongo.retry import connect
from support.older_home import open_mongod

# Uses the mongod on argv[1], says which, and stays until its input ends.
USER = """
import sys
from pathlib import Path
from agent_assets.mongo.embedded.mongod import start_mongod
with start_mongod(Path(sys.argv[1])) as handle:
    print(handle.pid, handle.started, flush=True)
    sys.stdin.read()
"""


def user(folder: Path) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", USER, str(folder)], text=True, **pipes)  # type: ignore[call-overload,no-any-return]


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


def test_data_and_address_survive_a_restart(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_one({"_id": 1, "answer": "沧浪亭"})
    assert running_mongod(tmp_path) is None
    with start_mongod(tmp_path) as again, connect(again.uri) as client:
        assert again.uri == mongod.uri and again.started
        assert client.afs.answers.find_one() == {"_id": 1, "answer": "沧浪亭"}
        assert (
            client.admin.command("hello")["setName"] == "rs0"
        )  # transactions and change streams need it


def test_acknowledged_writes_survive_kill_nine(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_many([{"_id": number} for number in range(1000)])
        os.kill(mongod.pid, signal.SIGKILL)
        assert ended_within(mongod.pid, 10)
    with start_mongod(tmp_path) as again, connect(again.uri) as client:
        assert client.afs.answers.count_documents({}) == 1000


def test_a_moved_folder_keeps_the_data_however_long_its_path(tmp_path: Path) -> None:
    with start_mongod(tmp_path / "a") as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_one({"_id": 1})
    far = tmp_path / ("b" * 120)  # no socket's path is that long
    shutil.move(tmp_path / "a", far)
    with start_mongod(far) as moved, connect(moved.uri) as client:
        assert moved.uri != mongod.uri and moved.started
        assert client.afs.answers.find_one() == {"_id": 1}
        folder = Access.of(far).socket.parent
        assert not folder.is_relative_to(far) and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_listens_on_no_port_and_asks_for_its_password(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod:
        assert psutil.Process(mongod.pid).net_connections("tcp") == []
        socket = Access.of(tmp_path).socket
        assert socket.is_socket() and stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
        uri = f"mongodb://{quote(str(socket), safe='')}/?directConnection=true"
        with MongoClient[dict[str, object]](uri) as stranger, pytest.raises(OperationFailure):
            stranger.afs.list_collection_names()
        assert Access.of(tmp_path).password not in " ".join(psutil.Process(mongod.pid).cmdline())
    closed = (tmp_path, tmp_path / "keyfile", tmp_path / "password")
    assert [path.name for path in closed if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_the_database_of_an_earlier_version_is_opened_and_closed_to_others(tmp_path: Path) -> None:
    """It listened on a port and asked nobody who he was."""
    data = tmp_path / "mongodb"
    with open_mongod(data) as earlier:
        earlier.afs.answers.insert_one({"_id": 1, "answer": "沧浪亭"})
        with pytest.raises(ConfigError, match="open to everybody"):
            start_mongod(data)
    with start_mongod(data) as mongod, connect(mongod.uri) as client:
        assert client.afs.answers.find_one() == {"_id": 1, "answer": "沧浪亭"}
        assert psutil.Process(mongod.pid).net_connections("tcp") == []
        with client.start_session() as session, session.start_transaction():  # still a replica set
            client.afs.answers.insert_one({"_id": 2}, session=session)


def test_the_last_user_ends_it(tmp_path: Path) -> None:
    """`make demo` beside `make up`: whoever ends first, the other goes on."""
    with start_mongod(tmp_path) as first:
        with start_mongod(tmp_path) as second:
            assert (second.pid, second.uri, second.started) == (first.pid, first.uri, False)
        assert running_mongod(tmp_path) is not None
        other = user(tmp_path)
        assert said(other) == (first.pid, False)
    with connect(first.uri) as client:  # the one that started it is done, the other still reads
        assert client.admin.command("hello")["isWritablePrimary"]
    assert other.communicate(timeout=30)  # ends its input
    assert not psutil.pid_exists(first.pid)


def test_it_survives_the_kill_of_who_started_it_and_ends_when_all_are_killed(
    tmp_path: Path,
) -> None:
    first = user(tmp_path)
    pid, _ = said(first)
    second = user(tmp_path)
    assert said(second) == (pid, False)
    first.kill()
    first.communicate()
    assert not ended_within(pid, 1.5)
    with start_mongod(tmp_path) as third:
        assert third.pid == pid
    second.kill()
    second.communicate()
    assert ended_within(pid, 15)


def test_a_newcomer_gets_one_that_stays(tmp_path: Path) -> None:
    """Users come while the last one goes: each finds a mongod that is not about to end."""
    for _ in range(2):
        leaving = user(tmp_path)
        said(leaving)
        leaving.kill()  # from here on the keeper may end it at any moment
        with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
            leaving.communicate()
            client.afs.answers.insert_one({"answer": "沧浪亭"})
            assert not ended_within(mongod.pid, 0.7)
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        assert client.afs.answers.count_documents({}) == 2


def test_two_starts_at_once_make_one_mongod(tmp_path: Path) -> None:
    processes = [user(tmp_path) for _ in range(3)]
    try:
        answers = [said(process) for process in processes]
        assert len({pid for pid, _ in answers}) == 1
        assert sorted(started for _, started in answers) == [False, False, True]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert ended_within(answers[0][0], 15)


def test_failing_start_names_the_log(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "WiredTiger.turtle").write_text("broken")
    with pytest.raises(MongoUnavailable, match="ended with exit code") as error:
        start_mongod(tmp_path, timeout_s=30)
    assert not [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(tmp_path / "db") in (p.info["cmdline"] or ())
    ]
    assert str(tmp_path / "mongod.log") in (error.value.next_step or "")


def test_broken_state_file_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "mongod.json").write_text('{"port": 12')
    with start_mongod(tmp_path) as mongod:
        assert mongod.started


def test_memories_do_not_stand_in_the_log(tmp_path: Path) -> None:
    with start_mongod(tmp_path) as mongod, connect(mongod.uri) as client:
        client.afs.answers.insert_one({"answer": "a very private memory"})
        list(
            client.afs.answers.find(
                {"$where": "sleep(300) || true", "answer": "a very private memory"}
            )
        )
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
