"""Removing files, and telling what they were."""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agent_assets.erasure.place import Item
from agent_assets.store.manifest import hash_file


def file_items(paths: Iterable[Path]) -> list[Item]:
    """Every file of these files and folders."""
    items = []
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and not file.is_symlink():
                entry = hash_file(file)
                items.append(Item(str(file), entry.bytes, entry.sha256))
    return items


def remove_paths(paths: Iterable[Path]) -> None:
    """Remove files and folders; what is gone already is skipped."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def naming(names: Sequence[str]) -> re.Pattern[bytes]:
    """Finds the names of an elder in a log, as words of their own; an eight-digit ending, which
    makes the name of an adapter, belongs to it.
    """
    words = b"|".join(re.escape(name.encode()) for name in sorted(names, key=len, reverse=True))
    return re.compile(rb"(?<![A-Za-z0-9_~])(?:" + words + rb")(?:-[0-9a-f]{8})?(?![A-Za-z0-9_~])")


def mask_file(path: Path, pattern: re.Pattern[bytes]) -> None:
    """Write `x` over what a pattern finds, in place and byte for byte: a process that appends to
    the file goes on undisturbed.
    """
    with path.open("r+b") as file:
        for start, end in list(match_spans(file, pattern)):
            file.seek(start)
            file.write(b"x" * (end - start))


def match_spans(lines: Iterable[bytes], pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Where a pattern is found in a file that is read line by line: offsets in bytes."""
    at = 0
    for line in lines:
        for match in pattern.finditer(line):
            yield at + match.start(), at + match.end()
        at += len(line)
