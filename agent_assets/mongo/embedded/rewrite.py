"""Rewriting an embedded MongoDB: all documents go to a new mongod in a new folder, which takes the
place of the old one.

What was deleted stays in MongoDB's operation log (of up to 256 MB), in its journal and in free
blocks of its files, and no command empties all three. A new folder never had it. Others may use the
database meanwhile: they can read until the new one takes over, which they see as a connection that
is lost for some seconds and found again behind the same socket; their writes wait for the new one.

`<data>/rewritten` is the new folder. Killed while it is filled, the old one is still in place;
killed between the two renames, `finish_rewrite` goes on.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from agent_assets.errors import MongoUnavailable
from agent_assets.mongo.retry import Document
from agent_assets.privacy import private_folder

NEW, OLD = "rewritten", "db.old"
_MARK = "rewritten-for"
_OF_THE_SERVER = {"admin", "local", "config"}
_BATCH = 1000


def finish_rewrite(data_dir: Path) -> None:
    """Bring a folder to rest whose rewriting was interrupted; nobody runs a mongod on it."""
    new, old, present = data_dir / NEW, data_dir / OLD, data_dir / "db"
    if not present.exists() and old.exists():
        (new / "db").rename(present)
    for folder in (new, old):
        if folder.exists():
            shutil.rmtree(folder)


def take_over(data_dir: Path) -> None:
    """Let the new database take the place of the old one; neither is running."""
    (data_dir / "db").rename(data_dir / OLD)
    finish_rewrite(data_dir)


def copy_all(source: MongoClient[Document], target: MongoClient[Document]) -> int:
    """Copy every collection with its options and indexes; returns how many documents."""
    copied = 0
    for database in sorted(set(source.list_database_names()) - _OF_THE_SERVER):
        views = []
        for entry in source[database].list_collections():
            if entry["type"] == "view":
                views.append(entry)
            elif not entry["name"].startswith("system."):
                copied += _copy(source, target, database, entry)
        for view in views:
            target[database].command("create", view["name"], **view["options"])
    return copied


def succeed(source: MongoClient[Document], target: MongoClient[Document]) -> None:
    """Let the new server, from its next start on, be what clients of the old one expect: of the
    same address, lest they look for it elsewhere, and elected later, lest they take it for one that
    was replaced.

    Args:
        source, target: as the members of the replica set, who may write that.
    """
    config = source.admin.command("replSetGetConfig")["config"]
    term = source.admin.command("replSetGetStatus")["term"]
    changes = {
        "system.replset": {
            "members.0.host": config["members"][0]["host"],
            "version": config["version"] + 1,
            "term": term + 1,
        },
        "replset.election": {"term": Int64(term + 1)},
    }
    for collection, change in changes.items():
        updates = [{"q": {}, "u": {"$set": change}, "upsert": False}]
        target.local.command("update", collection, updates=updates)


def copy_keys(source: MongoClient[Document], target: MongoClient[Document]) -> None:
    """Let the new server know the keys of the old one, with which the times are signed that clients
    hold and show: they would be refused once.

    Args:
        source, target: as the members of the replica set, who may see them.
    """
    keys = target.admin["system.keys"]
    for key in source.admin["system.keys"].find({"purpose": "HMAC"}):
        keys.replace_one({"_id": key["_id"]}, key, upsert=True)


@contextmanager
def no_writes(client: MongoClient[Document], own_user: str) -> Iterator[None]:
    """Let writers wait until the server has ended, or until the block failed.

    Raises:
        MongoUnavailable: somebody made users in this MongoDB: the new one would not have them.
    """
    users = client.admin.command({"usersInfo": {"forAllDBs": True}})["users"]
    if any(user["user"] != own_user for user in users):
        raise MongoUnavailable(
            "The embedded MongoDB has users of its own, which rewriting it would lose.",
            next_step="drop them (db.dropUser), erase again, and make them anew.",
        )
    client.admin.command("fsync", lock=True)
    try:
        yield
    except BaseException:
        client.admin.command("fsyncUnlock")
        raise


def new_folder(data_dir: Path) -> Path:
    """An empty folder for the new mongod, with the secrets of the present one."""
    folder = data_dir / NEW
    if folder.exists():
        shutil.rmtree(folder)
    private_folder(folder)
    for name in ("keyfile", "password"):
        shutil.copy2(data_dir / name, folder / name)
    return folder


def write_mark(data_dir: Path, mark: str) -> None:
    """Say in the new database, before it takes over, what it was rewritten for."""
    (data_dir / NEW / "db" / _MARK).write_text(mark, encoding="ascii")


def rewritten_for(data_dir: Path) -> str:
    """What the present database was rewritten for last; "" for nothing."""
    path = data_dir / "db" / _MARK
    return path.read_text(encoding="ascii") if path.exists() else ""


def _copy(
    source: MongoClient[Document],
    target: MongoClient[Document],
    database: str,
    entry: Mapping[str, Any],
) -> int:
    name = entry["name"]
    target[database].command("create", name, **entry["options"])
    copied = 0
    batch: list[Document] = []
    raw = source[database].get_collection(
        name, codec_options=source.codec_options.with_options(document_class=RawBSONDocument)
    )
    for document in raw.find({}, sort=[("$natural", 1)]):
        batch.append(document)
        if len(batch) == _BATCH:
            copied += _insert(target, database, name, batch)
            batch = []
    copied += _insert(target, database, name, batch) if batch else 0
    indexes = [
        {key: value for key, value in index.items() if key != "ns"}
        for index in source[database][name].list_indexes()
        if index["name"] != "_id_"
    ]
    if indexes:
        target[database].command("createIndexes", name, indexes=indexes)
    return copied


def _insert(target: MongoClient[Document], database: str, name: str, batch: list[Document]) -> int:
    target[database][name].insert_many(batch, bypass_document_validation=True)
    return len(batch)
