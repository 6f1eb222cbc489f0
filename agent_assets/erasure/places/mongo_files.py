"""The files of MongoDB: operation log, journal and free blocks keep what was deleted."""

from collections.abc import Iterable
from pathlib import Path

from pymongo.errors import PyMongoError

from agent_assets.erasure.place import Item, Scene
from agent_assets.errors import MongoUnavailable
from agent_assets.mongo.embedded.access import Access
from agent_assets.mongo.embedded.mongod import rewrite_mongod
from agent_assets.mongo.embedded.rewrite import rewritten_for

_OUTSIDE = (
    "MongoDB is not this installation's own: its operation log, journal, free blocks, replicas and "
    "backups keep deleted documents until they are overwritten (compact the collections, and "
    "shrink or replace the operation log)"
)


class MongoFiles:
    """The embedded MongoDB is rewritten into a new folder; of another it is said what stays."""

    name = "files of the embedded MongoDB"

    def items(self, scene: Scene) -> list[Item]:
        """Files of a database that was not rewritten since the request."""
        folder = scene.settings.mongo_data
        if not _is_embedded(scene) or rewritten_for(folder) == scene.request.id:
            return []
        return [Item(path.name, _size(path)) for path in sorted((folder / "db").rglob("*.wt"))]

    def remove(self, scene: Scene) -> None:
        """Rewrite it, unless that was done for this request."""
        if _is_embedded(scene) and rewritten_for(scene.settings.mongo_data) != scene.request.id:
            try:
                rewrite_mongod(scene.settings.mongo_data, mark=scene.request.id)
            except PyMongoError as error:
                raise MongoUnavailable(
                    f"The embedded MongoDB could not be rewritten ({type(error).__name__}).",
                    next_step="read its log; the next start goes on with the erasure.",
                ) from error

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What an outside MongoDB keeps."""
        if not _is_embedded(scene):
            yield _OUTSIDE


def _is_embedded(scene: Scene) -> bool:
    folder = scene.settings.mongo_data
    has_secrets = (folder / "password").exists() and (folder / "keyfile").exists()
    return has_secrets and Access.of(folder).uri == scene.installation.mongo.uri


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # MongoDB removes files of its own while it runs
        return 0
