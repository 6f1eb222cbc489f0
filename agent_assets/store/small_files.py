"""Small files of a store that are replaced as a whole: pointers and tombstones."""

from pathlib import Path

from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.disk import disk_errors, sync


def replace_file(store: ArtifactStore, path: str, content: bytes) -> None:
    """Let a file have this content, in one step; on a local disk it survives a loss of power.

    Raises:
        StoreFull: no space is left; the file is as it was.
    """
    folder, partial = path.rsplit("/", 1)[0], path.removesuffix(".json") + ".partial"
    with disk_errors(store.workspace):
        store.filesystem.makedirs(folder, exist_ok=True)
        store.filesystem.pipe_file(partial, content)
        if store.local:
            sync(Path(partial))
        store.filesystem.mv(partial, path)
        if store.local:
            sync(Path(folder))
