"""Erases in a small home, and is killed after a number of steps: `killed_erasure.py HOME STEPS`."""

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from agent_assets.erasure.erase import forget
from agent_assets.erasure.journal import ErasureJournal, Progress
from agent_assets.erasure.place import Item, Place, Scene
from agent_assets.erasure.places.files import file_items, remove_paths
from agent_assets.erasure.receipts import Receipt
from agent_assets.erasure.request import ErasureRequest
from agent_assets.settings import load_settings


@dataclass(frozen=True)
class Folder:
    """Files named by the elder in one folder of the home."""

    name: str

    def items(self, scene: Scene) -> list[Item]:
        return file_items(self._paths(scene))

    def remove(self, scene: Scene) -> None:
        remove_paths(self._paths(scene))

    def out_of_reach(self, scene: Scene) -> list[str]:
        return [f"copies of {self.name}"]

    def _paths(self, scene: Scene) -> list[Path]:
        return sorted((scene.settings.home / self.name).glob(f"{scene.request.elder}*"))


PLACES: tuple[Place, ...] = (Folder("first"), Folder("second"), Folder("third"))


def erase(home: Path, steps: int | None = None) -> Receipt:
    """Begin, or go on with what was begun; None is never killed."""
    left = steps

    def count(step: str) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    journal = ErasureJournal(home)
    pending = journal.pending()
    request = ErasureRequest(elder="eleanor", who="eve")
    progress = pending[0] if pending else Progress(request=request)
    journal.write(progress)
    settings = replace(load_settings({}), home=home)
    scene = cast(Scene, _SmallScene(settings, progress.request))
    return forget(scene, PLACES, progress=progress, kept=("the tombstone",), checkpoint=count)


@dataclass(frozen=True)
class _SmallScene:
    settings: object
    request: ErasureRequest


if __name__ == "__main__":
    erase(Path(sys.argv[1]), int(sys.argv[2]))
