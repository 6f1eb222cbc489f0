"""The places of one memory: what holds it goes, what can be made again without it goes, too, and
the rest of the elder stays.
"""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from agent_assets.erasure.place import Item, Scene
from agent_assets.erasure.places.exports import memory_words
from agent_assets.erasure.places.files import file_items
from agent_assets.erasure.places.memory_versions import released_with_memory, versions_with_memory
from agent_assets.erasure.places.sqlite_files import compact, writable
from agent_assets.release.pointer import drop
from agent_assets.store.erasable_data import trace_files
from agent_assets.store.retention import Pruning, apply_pruning

_OTHER_WORDS = (
    "what models and people said of the memory in words of their own, where it names neither the "
    "memory's id nor a sentence of it"
)


class MemoryReleases:
    """Agents that answer with a version that holds the memory: they are taken out of service."""

    name = "releases"

    def items(self, scene: Scene) -> list[Item]:
        """The agents."""
        return [Item(f"release of {'/'.join(agent)}") for agent in released_with_memory(scene)]

    def remove(self, scene: Scene) -> None:
        """Drop them; the next version that passes the gate is released as always."""
        for agent in released_with_memory(scene):
            drop(
                scene.installation.store,
                agent,
                author=scene.request.who,
                reason="a memory was erased",
            )

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()


class MemoryVersions:
    """Versions of artifacts that hold the memory, or were made from one that does."""

    name = "artifacts"

    def items(self, scene: Scene) -> list[Item]:
        """Their files; of a remote store, the versions."""
        store = scene.installation.store
        held = versions_with_memory(scene)
        folders = [store.workspace / v.key.folder / v.fingerprint for v in held]
        items = file_items(folder for folder in folders if folder.exists())
        return items if store.local else [Item(f"{v.key} {v.fingerprint}") for v in held] + items

    def remove(self, scene: Scene) -> None:
        """Remove them, those made last first: what was made from a version is found by it."""
        held = tuple(reversed(versions_with_memory(scene)))
        apply_pruning(scene.installation.store, Pruning(held, (), 0, 0))

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Of a remote store, what others keep."""
        yield _OTHER_WORDS
        if not scene.installation.store.local:
            yield "copies in the caches of other machines, and versions that the bucket keeps"


class MemoryTraces:
    """Traces in which the memory's id or a sentence of it stands, as a whole."""

    name = "traces"

    def items(self, scene: Scene) -> list[Item]:
        """The traces."""
        words = self._words(scene)
        return [
            Item(f"trace {trace} in {path.parent.name}", size)
            for path in trace_files(scene.installation.store, partition=scene.request.elder)
            for trace, size in _traces_with(path, words)
        ]

    def remove(self, scene: Scene) -> None:
        """Delete them, and compact the files."""
        words = self._words(scene)
        for path in trace_files(scene.installation.store, partition=scene.request.elder):
            with writable(path) as connection:
                for trace, _ in _traces_with(path, words):
                    connection.execute("DELETE FROM calls WHERE trace_id = ?", (trace,))
                # what no call is needed for: definitions of operations, and values kept apart
                connection.execute("DELETE FROM objects")
            compact(path)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Nothing."""
        return ()

    def _words(self, scene: Scene) -> list[str]:
        return [str(scene.request.memory), *memory_words(scene)]


def _traces_with(path: Path, words: list[str]) -> list[tuple[str, int]]:
    """Traces that hold one of these texts, and their sizes in bytes."""
    # as JSON writes it, too: there a quote has a backslash, and a letter may be escaped
    forms = {form for word in words for form in (word, json.dumps(word)[1:-1])}
    columns = "coalesce(inputs, '') || coalesce(output, '') || coalesce(exception, '')"
    hit = " OR ".join([f"instr({columns}, ?) > 0"] * len(forms))
    query = f"SELECT DISTINCT trace_id FROM calls WHERE {hit}"
    size = f"SELECT coalesce(sum(length({columns})), 0) FROM calls WHERE trace_id = ?"
    with closing(sqlite3.connect(path)) as connection:
        traces = [str(row[0]) for row in connection.execute(query, sorted(forms))]
        return [(trace, connection.execute(size, (trace,)).fetchone()[0]) for trace in traces]
