"""The history of a small file, from which it can be made again when it is lost or damaged.

One line for each change: what changed, and the hash of the line before. A line is on the disk
before the file itself changes, so the history is never behind it. A line that a loss of power cut
short does not count; any other damage makes the whole history unusable, because half of one could
bring back what was taken away later.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_assets.errors import StoreError
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.disk import disk_errors, sync
from agent_assets.store.small_files import replace_file

ENDING = ".jsonl"


@dataclass(frozen=True)
class _Line:
    text: bytes  # without its line break
    sha256: str
    content: dict[str, object]


def read_history(store: ArtifactStore, path: str) -> list[dict[str, object]]:
    """All changes, the oldest first; none where there is no history.

    Raises:
        StoreError: a line was changed or is gone.
    """
    return [line.content for line in _lines(store, path)[0]]


def add_change(store: ArtifactStore, path: str, change: Mapping[str, object]) -> None:
    """Add a change; it survives a loss of power once this returns.

    Raises:
        StoreError: the history is damaged; nothing was added.
        StoreFull: no space is left; nothing was added.
    """
    lines, torn = _lines(store, path)
    new = _line(lines[-1].sha256 if lines else "", change)
    if lines and not torn and store.local:
        with disk_errors(store.workspace):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, new)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    else:  # the first line; after a torn one; an object store, which cannot append
        replace_file(store, path, b"".join(line.text + b"\n" for line in lines) + new)


def begin_anew(store: ArtifactStore, path: str, change: Mapping[str, object]) -> None:
    """Let `change` be the only one: what was before it is forgotten."""
    replace_file(store, path, _line("", change))


def forget_history(store: ArtifactStore, path: str) -> None:
    """Remove a history; one that is not there is forgotten already."""
    if store.filesystem.exists(path):
        store.filesystem.rm_file(path)
        if store.local:
            sync(Path(path).parent)


def _line(before: str, change: Mapping[str, object]) -> bytes:
    body = json.dumps({"before": before, "change": change}, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f"{digest} {body}\n".encode()


def _lines(store: ArtifactStore, path: str) -> tuple[list[_Line], bool]:
    """The lines, and whether one more was cut short."""
    try:
        whole, _, rest = store.filesystem.cat_file(path).rpartition(b"\n")
    except FileNotFoundError:
        return [], False
    lines: list[_Line] = []
    for number, text in enumerate(whole.splitlines() if whole else [], start=1):
        digest, _, body = text.partition(b" ")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise _damaged(path, number)
        content = json.loads(body)
        if content["before"] != (lines[-1].sha256 if lines else ""):
            raise _damaged(path, number)
        lines.append(_Line(text, digest.decode(), content["change"]))
    return lines, bool(rest)


def _damaged(path: str, number: int) -> StoreError:
    return StoreError(
        f"Line {number} of the history {path} was changed, or one before it is gone.",
        next_step="`agent-assets repair` sets it aside and begins a new one where the file that it "
        "is of can be read; restore both from a backup where it cannot.",
    )
