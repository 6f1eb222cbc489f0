"""Looks for texts in everything below a folder: names, bytes of files, values of SQLite databases
(unpacked) and of MongoDB.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from support.history_scan import texts


def hits(folder: Path, *canaries: str) -> list[str]:
    """Where one of these texts stands, sorted."""
    found = set()
    for path in folder.rglob("*"):
        inside = str(path.relative_to(folder))
        if any(canary in inside for canary in canaries):
            found.add(inside)
        if not path.is_file():
            continue
        content = path.read_bytes()
        if any(canary.encode() in content for canary in canaries):
            found.add(inside)
        if content.startswith(b"SQLite format 3"):
            found |= {f"{inside} {place}" for place in _cells(path, canaries)}
    return sorted(found)


def _cells(path: Path, canaries: tuple[str, ...]) -> set[str]:
    found = set()
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if any(canary in text for text in texts(value) for canary in canaries):
                        found.add(f"{table}.{name}")
    return found
