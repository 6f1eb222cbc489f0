"""What lies in the artifact store, its cache and the folder of logs, by kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from agent_assets.erasure.place import Item, Scene
from agent_assets.erasure.places.files import file_items, remove_paths
from agent_assets.release.elder_releases import agents_of_elder, erase_releases
from agent_assets.release.pointer import CURRENT, DROPPED, pointer_path
from agent_assets.store.artifact_store import CORRUPT, STAGING
from agent_assets.store.erasable_data import (
    LLM_ANSWERS,
    TRACES,
    ElderDataLocations,
    elder_data_locations,
    erase_locations,
)
from agent_assets.store.retrains import forget_retrains, retrained_in

_OF_A_REMOTE_STORE = (
    "copies of the remote store on other machines (each has a cache of its own), and versions that "
    "its bucket keeps of deleted objects"
)


def _top(scene: Scene, path: Path) -> str:
    workspace = scene.installation.store.workspace
    return path.relative_to(workspace).parts[0] if path.is_relative_to(workspace) else "logs"


def _is_artifact(top: str) -> bool:
    return not top.startswith(".") and top != "logs"


@dataclass(frozen=True)
class StoreFiles:
    """Files below the elder's folders; `holds` says of the first folder whether it belongs here."""

    name: str
    holds: Callable[[str], bool]
    with_remote: bool = False

    def items(self, scene: Scene) -> list[Item]:
        """All of them."""
        locations = self._locations(scene)
        filesystem = scene.installation.store.filesystem
        remote = [
            Item(str(path), int(filesystem.size(path) or 0))
            for folder in locations.remote
            for path in filesystem.find(folder)
        ]
        return file_items(locations.local) + remote

    def remove(self, scene: Scene) -> None:
        """Remove them."""
        erase_locations(scene.installation.store, self._locations(scene))

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Of a remote store, what others keep."""
        if self.with_remote and not scene.installation.store.local:
            yield _OF_A_REMOTE_STORE

    def _locations(self, scene: Scene) -> ElderDataLocations:
        store, logs = scene.installation.store, scene.settings.home / "logs"
        whole = elder_data_locations(store, logs, scene.request.elder)
        local = tuple(path for path in whole.local if self.holds(_top(scene, path)))
        return ElderDataLocations(local, whole.remote if self.with_remote else ())


ARTIFACTS = StoreFiles("artifacts", _is_artifact, with_remote=True)
BUILDS = StoreFiles("unfinished and damaged builds", lambda top: top in (STAGING, CORRUPT))
TRACE_FILES = StoreFiles("traces", lambda top: top == TRACES)
ANSWERS = StoreFiles("answers of language models", lambda top: top == LLM_ANSWERS)
AGENT_LOGS = StoreFiles("logs of the elder's programs", lambda top: top == "logs")


class Releases:
    """Pointers, verdicts and copies, and how often the elder was trained anew."""

    name = "releases"

    def items(self, scene: Scene) -> list[Item]:
        """The file of every agent that is the elder's, or once was a copy."""
        store = scene.installation.store
        items = []
        for agent in agents_of_elder(store, scene.request.elder):
            for state in (CURRENT, DROPPED):
                path = pointer_path(store, agent, state)
                if store.filesystem.exists(path):
                    content = store.filesystem.cat_file(path)
                    items.append(Item(f"{state} release of {'/'.join(agent)}", len(content)))
        for pipeline in retrained_in(store, scene.request.elder):
            items.append(Item(f"number of trainings of {pipeline}", len(scene.request.elder)))
        return items

    def remove(self, scene: Scene) -> None:
        """Remove them; of who once was a copy and is released now, only that goes."""
        erase_releases(scene.installation.store, scene.request.elder)
        forget_retrains(scene.installation.store, scene.request.elder)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()


class Locks:
    """Files that are locked, and named by the elder. They are empty."""

    name = "lock files"

    def items(self, scene: Scene) -> list[Item]:
        """The files."""
        return file_items(self._paths(scene))

    def remove(self, scene: Scene) -> None:
        """Remove them: the elder has no release and no build that would take one."""
        remove_paths(self._paths(scene))

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()

    def _paths(self, scene: Scene) -> list[Path]:
        elder = escape(scene.request.elder)
        folder = scene.installation.store.workspace / ".locks"
        return sorted({*folder.glob(f"*__{elder}.lock"), *folder.glob(f"*__{elder}__*.lock")})
