"""Files of this machine that no elder owns: logs of services, and what killed programs left."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from agent_assets.erasure.place import Item, Scene
from agent_assets.erasure.places.files import (
    file_items,
    mask_file,
    match_spans,
    naming,
    remove_paths,
)
from agent_assets.store.disk import is_in_use

SCRATCH_PREFIX = "engine-"


class ServiceLogs:
    """Logs of services and of runs of others: the elder's names in them are written over."""

    name = "logs of services"

    def items(self, scene: Scene) -> list[Item]:
        """One for each name."""
        pattern = naming(scene.request.names)
        items = []
        for path in self._logs(scene):
            with path.open("rb") as lines:
                items += [
                    Item(f"{path} {start}", end - start)
                    for start, end in match_spans(lines, pattern)
                ]
        return items

    def remove(self, scene: Scene) -> None:
        """Write over them."""
        pattern = naming(scene.request.names)
        for path in self._logs(scene):
            mask_file(path, pattern)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What somebody else collects."""
        yield "copies of logs that other programs collect, and terminals that showed them"

    def _logs(self, scene: Scene) -> Iterator[Path]:
        folders = (scene.settings.home / "logs", scene.settings.dagster_home / "storage")
        candidates = [path for folder in folders for path in sorted(folder.rglob("*"))]
        candidates.append(scene.settings.mongo_data / "mongod.log")
        for path in candidates:
            if path.is_file() and not path.is_symlink():
                yield path


class Scratch:
    """Temporary folders of engine programs that were killed together with what watches them. Whose
    work they held is not known, and nobody goes on with it.
    """

    name = "temporary folders of killed programs"

    def items(self, scene: Scene) -> list[Item]:
        """Their files."""
        return file_items(self._left(scene))

    def remove(self, scene: Scene) -> None:
        """Remove them."""
        remove_paths(self._left(scene))

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What no program can promise of a disk."""
        yield "blocks that the file system has freed and not yet used again, its snapshots, backups"
        yield "swap space, and the memory of other programs that were told something"

    def _left(self, scene: Scene) -> list[Path]:
        folders = [
            path
            for path in sorted(Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*"))
            if path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()
        ]
        used = set(_temporary_folders()) if folders else set()
        return [path for path in folders if str(path) not in used and not is_in_use(path)]


def _temporary_folders() -> Iterator[str]:
    """What the processes of this user call their temporary folder."""
    for process in psutil.process_iter(["environ"]):
        yield (process.info["environ"] or {}).get("TMPDIR", "")  # None where it may not be read
