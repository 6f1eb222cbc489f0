"""Copying files of an installation that is at work, each with its hash."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from agent_assets.errors import StoreError
from agent_assets.store.disk import disk_errors, sync
from agent_assets.store.manifest import FileEntry, hash_file

_SQLITE = b"SQLite format 3\x00"
_SIDECARS = ("-wal", "-shm", "-journal")


def copy_tree(
    source: Path, target: Path, *, leave_out: Callable[[Path], bool]
) -> dict[str, FileEntry]:
    """Copy the files of a folder; returns their hashes by relative path. Databases of SQLite are
    copied as of one moment, whoever writes to them. A file that goes away meanwhile is left out.

    Args:
        leave_out: takes a relative path, of a file or of a folder with all below it.

    Raises:
        StoreFull: no space is left at the target.
    """
    copied = {}
    with disk_errors(target):
        for path in _files(source, source, leave_out):
            relative = path.relative_to(source)
            place = target / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                _copy(path, place)
            except FileNotFoundError:
                place.unlink(missing_ok=True)
                continue
            sync(place)
            copied[relative.as_posix()] = hash_file(place)
    return copied


def check_files(folder: Path, files: dict[str, FileEntry]) -> None:
    """Compare files with their hashes.

    Raises:
        StoreError: one is missing or differs.
    """
    for name, entry in files.items():
        path = folder / name
        if not path.is_file() or hash_file(path) != entry:
            raise StoreError(
                f"{path} is missing, or is not what was saved.",
                next_step="take another backup; nothing was restored.",
            )


def _files(folder: Path, root: Path, leave_out: Callable[[Path], bool]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        path = Path(entry.path)
        if leave_out(path.relative_to(root)) or entry.name.endswith(_SIDECARS):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(path, root, leave_out)
        elif entry.is_file(follow_symlinks=False):  # no sockets, no links
            yield path


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        is_database = file.read(len(_SQLITE)) == _SQLITE
    if not is_database:
        shutil.copy2(source, target)
        return
    target.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as before,
        closing(sqlite3.connect(target)) as after,
    ):
        before.backup(after)
