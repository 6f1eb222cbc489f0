"""`agent-assets backup`: a folder from which an installation can be made again, while it works.

| in the folder | what |
|---|---|
| `backup.json` | when, by which version, and the hash of every file |
| `home/` | Dagster's history, the embedded MongoDB, secrets, alerts |
| `store/` | artifacts, releases, tombstones, histories; of a local store only |
| `automation.yaml` | the settings that AGENT_ASSETS_AUTOMATION names |

Dagster is copied first and the store last, so an artifact that the history names is there. What is
being built is not part of it: after a restore those runs count as ended.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from agent_assets.backup.files import copy_tree
from agent_assets.backup.record import note_backup
from agent_assets.errors import ConfigError
from agent_assets.mongo.embedded.access import Access
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.privacy import private_folder
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import STAGING
from agent_assets.store.disk import disk_errors, sync
from agent_assets.store.manifest import FileEntry

RECORD = "backup.json"
HOME, STORE, AUTOMATION = "home", "store", "automation.yaml"
MONGODB = "mongodb"
FORMAT = 1
# Made again by whoever needs it, or true only of the process that wrote it.
_NOT_HOME = {"run", "logs", "leases", "store-cache", "up.lock", "workspace.yaml", MONGODB, STORE}
_NOT_STORE = {STAGING, ".locks"}
_NOT_MONGODB = {"mongod.json", "mongod.lock", "mongod.sock", "diagnostic.data", "_tmp"}
_ENDINGS = (".lock", ".log", ".sock")


class BackupRecord(BaseModel):
    """`backup.json`. `at` is ISO 8601 in UTC; `files` has hashes by path in the folder."""

    model_config = ConfigDict(extra="forbid")

    format: int
    version: str
    at: str
    store: str | None  # None where it is part of the backup, else where it is
    mongodb: bool  # whether the embedded one is part of it
    files: dict[str, FileEntry]


def back_up(settings: Settings, target: Path) -> BackupRecord:
    """Save an installation to a folder that is empty or not there.

    Raises:
        ConfigError: the folder holds something, or there is no installation.
        StoreFull: no space is left there; what was written stays, without a record.
    """
    target = target.expanduser().resolve()
    _check(settings, target)
    with disk_errors(target):
        private_folder(target)
    files: dict[str, FileEntry] = {}
    _add(files, target, HOME, settings.home, _not_home)
    embedded = settings.mongodb_uri is None and (settings.mongo_data / "db").is_dir()
    if embedded:
        with _writes_wait(settings.mongo_data):
            _add(files, target, f"{HOME}/{MONGODB}", settings.mongo_data, _not_mongodb)
    local = "://" not in settings.store
    if local and Path(settings.store).is_dir():
        _add(files, target, STORE, Path(settings.store), _not_store)
    if settings.automation.is_file():
        content = settings.automation.read_bytes()
        (target / AUTOMATION).write_bytes(content)
    record = BackupRecord(
        format=FORMAT,
        version=version("agent-assets"),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        store=None if local else settings.store,
        mongodb=embedded,
        files=files,
    )
    with disk_errors(target):  # last: a folder without it is no backup
        (target / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        sync(target / RECORD)
        sync(target)
    note_backup(settings.home, time.time())
    return record


def read_record(folder: Path) -> BackupRecord:
    """The record of a backup.

    Raises:
        ConfigError: there is none, or one of a later version.
    """
    try:
        content = json.loads((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ConfigError(
            f"{folder} is no complete backup: its {RECORD} cannot be read.",
            next_step="name a folder that `agent-assets backup` finished.",
        ) from None
    if content.get("format") != FORMAT:
        raise ConfigError(
            f"{folder} was made by version {content.get('version')} in another format.",
            next_step="restore it with that version, then upgrade.",
        )
    return BackupRecord.model_validate(content)


def _check(settings: Settings, target: Path) -> None:
    if not settings.home.is_dir():
        raise ConfigError(
            f"There is no installation at {settings.home}.", next_step="set AGENT_ASSETS_HOME."
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} is not empty.", next_step="name a folder that is not there.")
    places = [settings.home] + ([] if "://" in settings.store else [Path(settings.store)])
    if any(target.is_relative_to(place) for place in places):
        raise ConfigError(
            f"{target} lies inside the installation.", next_step="name a folder outside, elsewhere."
        )


def _add(
    files: dict[str, FileEntry],
    target: Path,
    name: str,
    source: Path,
    leave_out: Callable[[Path], bool],
) -> None:
    copied = copy_tree(source, target / name, leave_out=leave_out)
    files |= {f"{name}/{path}": entry for path, entry in copied.items()}


def _not_home(path: Path) -> bool:
    return path.parts[0] in _NOT_HOME or path.name.endswith(_ENDINGS)


def _not_store(path: Path) -> bool:
    return path.parts[0] in _NOT_STORE


def _not_mongodb(path: Path) -> bool:
    return path.name in _NOT_MONGODB or path.name.endswith(_ENDINGS)


@contextmanager
def _writes_wait(data: Path) -> Iterator[None]:
    """The embedded MongoDB with everything on the disk, and writers waiting, until the block
    ends.
    """
    with start_mongod(data), Access.of(data).client() as client:
        client.admin.command("fsync", lock=True)
        try:
            yield
        finally:
            client.admin.command("fsyncUnlock")
