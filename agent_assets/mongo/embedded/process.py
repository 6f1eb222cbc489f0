"""The process of an embedded mongod: how it is started, made a replica set of one, and waited for."""

import subprocess
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from agent_assets.errors import MongoUnavailable
from agent_assets.mongo.retry import Document

_REPLICA_SET = "rs0"
_ALREADY_INITIALIZED = 23
_OPTIONS = (
    "--bind_ip", "127.0.0.1", "--replSet", _REPLICA_SET, "--oplogSize", "256", "--wiredTigerCacheSizeGB", "0.25",
    "--nounixsocket", "--setParameter", "diagnosticDataCollectionEnabled=false",
    # A replica set of one has nobody to hand over to, so a stop need not wait for that.
    "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
    # Slow operations are logged with their documents: memories must not stand in a log.
    "--slowms", "1000000000",
)  # fmt: skip
_KEEPER = Path(__file__).with_name("keeper.py")


def mongod_uri(port: int) -> str:
    """URI of the replica set of one on this port."""
    return f"mongodb://127.0.0.1:{port}/?replicaSet={_REPLICA_SET}"


def spawn(data_dir: Path, binary: Path, port: int, users: Path) -> subprocess.Popen[bytes]:
    """Start the keeper that runs mongod until nobody holds a lock on the file `users`; the caller must hold one."""
    mongod = [str(binary), "--dbpath", str(data_dir / "db"), "--port", str(port), *_OPTIONS]
    command = [sys.executable, "-I", "-S", str(_KEEPER), str(users), *mongod]
    with (data_dir / "mongod.log").open("wb") as log:
        # A session of its own: Ctrl-C in the terminal ends its user first, not the database under it.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def wait_until_writable(process: subprocess.Popen[bytes], port: int, data_dir: Path, deadline: float) -> int:
    """Return the process id of mongod once it takes writes.

    Raises:
        MongoUnavailable: it ended, or `deadline` (of `time.monotonic`) has passed.
    """
    asked = False
    with direct_client(port) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise MongoUnavailable(
                    f"mongod ended with exit code {process.returncode} while it started.",
                    next_step=f"read {data_dir / 'mongod.log'}; it needs OpenSSL 3, libcurl4 and a processor with AVX.",
                )
            try:
                if not asked:
                    _initiate(client, port)
                    asked = True
                if client.admin.command("hello").get("isWritablePrimary"):
                    return int(client.admin.command("serverStatus")["pid"])
            except PyMongoError:  # not yet listening, or between two states: asked again until the deadline
                asked = False
            time.sleep(0.05)
    raise MongoUnavailable(
        "mongod started, but does not take writes.", next_step=f"read {data_dir / 'mongod.log'}, then start it again."
    )


def _initiate(client: MongoClient[Document], port: int) -> None:
    """Make the replica set, or tell an existing one where it lives now."""
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    try:
        client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": [member]})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise
        config = client.admin.command("replSetGetConfig")["config"]
        if config["members"][0]["host"] != member["host"]:
            config["members"][0]["host"] = member["host"]
            client.admin.command("replSetReconfig", {**config, "version": config["version"] + 1}, force=True)


def direct_client(port: int) -> MongoClient[Document]:
    """A client of the one mongod on this port, whether it is a replica set already or not."""
    return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000, socketTimeoutMS=10_000)
