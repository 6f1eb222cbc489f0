"""Files that somebody put into the home: exported rows, models, adapters, reports.

Whatever lies beside the folders that this installation keeps is looked at. A file whose path names
the elder, or that names the elder or holds the elder's words inside, is removed as a whole: an
export of others is made again in seconds, and a line of one may hold what no search finds.

Weights hold no words that a search finds. So a folder that `export-model` or `import` wrote goes
with everything in it where its `export.json` names the elder, and so does a bundle or a GGUF file,
which name the elder themselves: of a whole elder, and of one memory, which the weights may hold.
"""

import json
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent_assets.conversations.memories import MEMORIES_FILE
from agent_assets.erasure.place import Item, Scene
from agent_assets.erasure.places.files import file_items, naming, remove_paths
from agent_assets.export.manifest import EXPORT_FILE
from agent_assets.store.artifact_store import ArtifactKey

# What the installation keeps below its home; other places look after these.
_OURS = frozenset(
    {
        "dagster",
        "erasure",
        "leases",
        "logs",
        "mongodb",
        "plan",
        "run",
        "secrets",
        "store",
        "store-cache",
        "up.lock",
        "workspace.yaml",
    }
)
_MODELS = frozenset({".gguf", ".zip"})  # name the elder in clear bytes, see `export/`
_SHORTEST_WORDS = 20  # characters: a shorter answer may be anybody's
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s*")


class Exports:
    """Files in the home that hold the elder's words, or are named by the elder."""

    name = "exports in the home"

    def items(self, scene: Scene) -> list[Item]:
        """The files."""
        return file_items(self._hits(scene))

    def remove(self, scene: Scene) -> None:
        """Remove them, and empty folders that name the elder."""
        remove_paths(self._hits(scene))
        if scene.request.memory is None:
            named = naming(scene.request.names)
            for folder in sorted(_below(scene), reverse=True):  # what lies deeper comes first
                inside = str(folder.relative_to(scene.settings.home)).encode()
                if folder.is_dir() and named.search(inside) and not any(folder.iterdir()):
                    folder.rmdir()

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """What lies elsewhere."""
        yield (
            "files that were exported to other places than the home, or packed (archives, "
            "compressed files) without the elder in their names"
        )

    def _hits(self, scene: Scene) -> list[Path]:
        files = [path for path in _files(scene) if path.stat().st_size]
        whole = scene.request.memory is None
        name = naming(scene.request.names)
        named = [name] if whole else []
        words = _in_files(memory_words(scene)) if files else []
        patterns = [*named, *map(re.compile, map(re.escape, words))]
        models = {path.parent for path in files if path.name == EXPORT_FILE and _holds(path, name)}
        hits = []
        for path in files:
            inside = str(path.relative_to(scene.settings.home)).encode()
            if (
                not models.isdisjoint(path.parents)
                or any(pattern.search(inside) for pattern in named)
                or any(_holds(path, pattern) for pattern in patterns)
                or (path.suffix in _MODELS and _holds(path, name))
            ):
                hits.append(path)
        return hits


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Whether a file, of whatever size, holds what a pattern finds."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return pattern.search(content) is not None


def _files(scene: Scene) -> list[Path]:
    return [path for path in _below(scene) if path.is_file() and not path.is_symlink()]


def _below(scene: Scene) -> list[Path]:
    home, store = scene.settings.home, scene.installation.store.workspace
    tops = [path for path in sorted(home.iterdir()) if path.name not in _OURS and path != store]
    return [path for top in tops for path in [top, *sorted(top.rglob("*"))]]


def memory_words(scene: Scene) -> list[str]:
    """What the elder told (or the one memory of a request), by sentence, where a sentence is long
    enough to be nobody else's.
    """
    words = set()
    for memory in _memories(scene):
        if scene.request.memory in (None, memory.get("memory_id")):
            answer = str(memory.get("answer", ""))
            words |= {answer, *_SENTENCE.split(answer)}
    return sorted(text for text in words if len(text) >= _SHORTEST_WORDS)


def _in_files(words: list[str]) -> list[bytes]:
    """Texts as they stand in files: plain, and escaped in JSON."""
    return sorted({form.encode() for text in words for form in (text, json.dumps(text)[1:-1])})


def _memories(scene: Scene) -> Iterator[dict[str, object]]:
    """All versions of what the elder told, while the store still has them."""
    for graph in scene.installation.graphs:
        key = ArtifactKey(graph.name, "elder_memories", scene.request.elder)
        for file in sorted(
            (scene.installation.store.workspace / key.folder).glob(f"*/{MEMORIES_FILE}")
        ):
            yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())
