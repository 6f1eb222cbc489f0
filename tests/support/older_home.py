"""A home as the version before this one left it: open, with passwords in its history and a MongoDB
for everybody.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from pymongo import MongoClient

from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import find_mongod
from agent_assets.planning.history import FINGERPRINT_TAG
from support.waiting import wait_for

PASSWORD = "hünter2%40the+hidden"  # as an address has it: some of it becomes an escape in JSON
URI = (
    f"mongodb://reader:{PASSWORD}@db.example.org:27017,other.example.org/?authSource=admin&tls=true"
)
OTHER_SECRET = "another-secret"
KEY = dg.AssetKey(["older", "elder_memories"])
TOKEN = "aa_0a1b2c3d_made-before-there-were-seals"


class OlderMongo(dg.ConfigurableResource):  # type: ignore[type-arg]
    """As MongoDB was a resource: its address is a default of the configuration schema of every
    job.
    """

    uri: str


@dg.asset(key=KEY)
def elder_memories(
    context: dg.AssetExecutionContext, mongo: OlderMongo
) -> dg.MaterializeResult[None]:
    context.log.info(f"cannot read {mongo.uri} (code 18)")
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "proxy": dg.MetadataValue.text(f"https://proxy:{OTHER_SECRET}@example.org/x"),
        "count": dg.MetadataValue.int(42),
    }
    tags = {FINGERPRINT_TAG: "ab12"}
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion("c0ffee"), tags=tags)


def make_history(instance: dg.DagsterInstance) -> None:
    """One run by default, one whose run config names the address, as the launchpad writes it."""
    definitions = dg.Definitions(assets=[elder_memories], resources={"mongo": OlderMongo(uri=URI)})
    job = definitions.resolve_implicit_global_asset_job_def()
    for config in ({}, {"resources": {"mongo": {"config": {"uri": URI}}}}):
        assert job.execute_in_process(instance=instance, run_config=config).success


@contextmanager
def open_mongod(data: Path) -> Iterator[MongoClient[dict[str, Any]]]:
    """The embedded MongoDB of earlier versions: on a port, and nobody is asked who he is."""
    port = free_port()
    (data / "db").mkdir(parents=True)
    where = [
        "--dbpath",
        str(data / "db"),
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
        "--nounixsocket",
    ]
    command = [str(find_mongod()), *where, "--replSet", "rs0", "--oplogSize", "256"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        (data / "mongod.json").write_text(
            json.dumps({"port": port, "pid": process.pid}), encoding="utf-8"
        )
        with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as client:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            wait_for(lambda: client.admin.command("hello")["isWritablePrimary"], 30)
            yield client
    finally:
        process.terminate()
        process.wait(60)


def unsealed_token() -> dict[str, Any]:
    """The record of `TOKEN`, as earlier versions wrote it."""
    number, secret = TOKEN.split("_", 2)[1:]
    return {
        "_id": number,
        "hash": hashlib.sha256(secret.encode()).hexdigest(),
        "scope": "admin",
        "elder": None,
        "name": "before",
        "created_at": datetime.now(UTC),
        "expires_at": None,
        "revoked_at": None,
    }


def open_to_all(home: Path) -> None:
    """The modes that files get where nobody asks for others."""
    for path in (home, *home.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
