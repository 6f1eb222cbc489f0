"""MongoDB that is down, goes down in the middle, refuses, or is read by a user who may only
read.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient
from pymongo.errors import InvalidOperation

from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.errors import ConfigError, MongoUnavailable
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.embedded.mongod import MongodHandle, find_mongod, start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import iter_elders, read_elder
from agent_assets.mongo.retry import Retry, connect, ping
from agent_assets.mongo.signatures import elder_signatures, list_elder_ids
from agent_assets.resources.mongo import MongoResource

Document = dict[str, Any]
SERVICE = MongoLayout.service()
QUICK = Retry(attempts=3, first_wait_s=0.05, longest_wait_s=0.1)
PASSWORD = "hunter2-secret"


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[MongodHandle]:
    """A mongod of this test alone, to be killed."""
    with start_mongod(tmp_path / "mongodb") as handle:
        yield handle


def fill(uri: str, elders: int, chars: int) -> None:
    with connect(uri) as client:
        client.afs.questions.insert_one({"_id": "q", "questionText": "What?"})
        client.afs.answers.create_index("elderId")
        client.afs.answers.insert_many(
            [
                {"elderId": f"elder-{number:04d}", "questionId": "q", "answer": "x" * chars}
                for number in range(elders)
            ]
        )


def test_down_at_start_is_an_error_in_bounded_time(free_address: str) -> None:
    uri = f"mongodb://reader:{PASSWORD}@{free_address}/"
    begin = time.monotonic()
    with connect(uri, server_selection_timeout_ms=200) as client:
        for read in (
            lambda: read_elder(client.afs, SERVICE, "shen-fu", retry=QUICK),
            lambda: list(iter_elders(client.afs, SERVICE, retry=QUICK)),
            lambda: elder_signatures(client.afs, SERVICE, retry=QUICK),
            lambda: list_elder_ids(client.afs, SERVICE, retry=QUICK),
        ):
            with pytest.raises(
                MongoUnavailable, match=r"127\.0\.0\.1:\d+ did not answer in 3 tries"
            ) as error:
                read()
            assert error.value.next_step and PASSWORD not in str(error.value)
    assert time.monotonic() - begin < 10
    with pytest.raises(MongoUnavailable):
        ping(uri, server_selection_timeout_ms=200)


@pytest.mark.parametrize(
    "uri",
    ["", "localhost:27017/x/y", f"mongodb://u:{PASSWORD}@@h:1/", f"mongodb://u:{PASSWORD}@h:p/"],
)
def test_bad_uri_is_told_without_the_password(uri: str) -> None:
    with pytest.raises(ConfigError) as error:
        ping(uri, server_selection_timeout_ms=200)
    assert error.value.next_step and PASSWORD not in str(error.value)


def test_killed_in_the_middle_of_a_read(mongod: MongodHandle) -> None:
    fill(mongod.uri, elders=400, chars=100_000)  # 40 MB: several batches of 16 MB
    with connect(mongod.uri, server_selection_timeout_ms=300) as client:
        records = iter_elders(client.afs, SERVICE, max_answer_chars=200_000, retry=QUICK)
        first = next(records)
        os.kill(mongod.pid, signal.SIGKILL)
        with pytest.raises(MongoUnavailable, match="did not answer in 3 tries"):
            list(records)
    assert first.profile.elder_id == "elder-0000"


def test_restart_in_the_middle_of_a_read_loses_and_repeats_nothing(
    mongod: MongodHandle, tmp_path: Path
) -> None:
    fill(mongod.uri, elders=400, chars=100_000)
    with connect(mongod.uri, server_selection_timeout_ms=5000) as client:
        records = iter_elders(client.afs, SERVICE, max_answer_chars=200_000, retry=QUICK)
        ids = [next(records).profile.elder_id]
        os.kill(mongod.pid, signal.SIGKILL)
        _wait_gone(mongod.pid)
        with start_mongod(tmp_path / "mongodb") as again:
            assert again.uri == mongod.uri
            ids += [record.profile.elder_id for record in records]
    assert ids == [f"elder-{number:04d}" for number in range(400)]


def test_a_run_closes_its_client(mongod: MongodHandle) -> None:
    clients: list[MongoClient[Any]] = []

    @dg.asset(required_resource_keys={"mongo"})
    def elders(context: dg.AssetExecutionContext) -> None:
        database: MemoryDatabase = context.resources.mongo
        assert database.list_elder_ids(SERVICE).valid == ()
        clients.append(database.db.client)

    assert dg.materialize([elders], resources={"mongo": MongoResource(uri=mongod.uri)}).success
    with pytest.raises(InvalidOperation):
        clients[0].admin.command("ping")


def test_database_reads_and_can_be_opened_again(mongod: MongodHandle) -> None:
    with connect(mongod.uri) as client:
        seed_elders(client.afs, SERVICE, load_sample_elders(["shen-fu"]))
    database = MemoryDatabase(uri=mongod.uri)
    assert database.list_elder_ids(SERVICE).valid == ("shen-fu",)
    database.close()
    assert len(database.read_elder("shen-fu", SERVICE).memories) >= 40
    assert [record.profile.name for record in database.iter_elders(SERVICE)] == ["沈复"]
    assert set(database.elder_signatures(SERVICE)) == {"shen-fu"}
    database.close()


def test_user_who_may_only_read_suffices(server_with_users: str) -> None:
    with connect(f"mongodb://root:{PASSWORD}@{server_with_users}/") as root:
        seeded = seed_elders(root.afs, SERVICE, load_sample_elders())
    with connect(f"mongodb://reader:{PASSWORD}@{server_with_users}/afs") as client:
        assert [record.profile.elder_id for record in iter_elders(client.afs, SERVICE)] == list(
            seeded.elder_ids
        )
        assert set(elder_signatures(client.afs, SERVICE)) == set(seeded.elder_ids)
        assert list_elder_ids(client.afs, SERVICE).valid == seeded.elder_ids


@pytest.mark.parametrize(
    ("user", "next_step"),
    [
        ("reader:wrong", "correct user"),
        ("outsider:" + PASSWORD, "role `read`"),
        ("", "role `read`"),
    ],
)
def test_refused_user_is_told_what_to_do(server_with_users: str, user: str, next_step: str) -> None:
    with (
        connect(f"mongodb://{user}{'@' if user else ''}{server_with_users}/afs") as client,
        pytest.raises(MongoUnavailable, match="refused a read") as error,
    ):
        read_elder(client.afs, SERVICE, "shen-fu", retry=QUICK)
    assert next_step in (error.value.next_step or "") and PASSWORD not in str(error.value)


@pytest.fixture
def free_address() -> str:
    """An address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def server_with_users(tmp_path: Path, free_address: str) -> Iterator[str]:
    """Address of a mongod with access control; `reader` may read the database afs, `outsider`
    another one.
    """
    (tmp_path / "db").mkdir()
    port = free_address.partition(":")[2]
    command = [
        str(find_mongod()),
        "--auth",
        "--bind_ip",
        "127.0.0.1",
        "--port",
        port,
        "--dbpath",
        str(tmp_path / "db"),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--nounixsocket"], stdout=log)
    try:
        with MongoClient[Document](
            f"mongodb://{free_address}/", serverSelectionTimeoutMS=20_000
        ) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with connect(f"mongodb://root:{PASSWORD}@{free_address}/") as root:
            root.afs.command("createUser", "reader", pwd=PASSWORD, roles=["read"])
            root.afs.command(
                "createUser", "outsider", pwd=PASSWORD, roles=[{"role": "read", "db": "other"}]
            )
        yield free_address
    finally:
        process.terminate()
        process.wait(30)


def _wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
