"""Every value of every table of every SQLite file, and every other file: what somebody finds who
has the folder.
"""

import base64
import binascii
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

Place = tuple[str, str, object, str]  # file, table, rowid, column


def texts(cell: object) -> Iterator[str]:
    """A cell as text: as it is, and unpacked (base64, zlib, in any order)."""
    content = cell if isinstance(cell, bytes) else str(cell).encode()
    yield content.decode("utf-8", "replace")
    for unpack in (zlib.decompress, lambda packed: base64.b64decode(packed, validate=True)):
        try:
            unpacked = unpack(content)
        except (zlib.error, binascii.Error):
            continue
        if unpacked:
            yield from texts(unpacked)


def cells(folder: Path) -> dict[Place, list[str]]:
    """Every value of every table below a folder."""
    by_place: dict[Place, list[str]] = {}
    for path in sorted(folder.rglob("*.db")):
        with closing(sqlite3.connect(path)) as connection:
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                rows = connection.execute(f'SELECT rowid, * FROM "{table}"')
                names = [column[0] for column in rows.description][1:]
                for row, *values in rows:
                    for name, value in zip(names, values, strict=True):
                        by_place[str(path.relative_to(folder)), table, row, name] = list(
                            texts(value)
                        )
    return by_place


def places_of(secret: str, folder: Path) -> list[object]:
    """Where a secret stands below a folder: cells of databases, and files that hold it in plain
    text.
    """
    inside = [
        place
        for place, versions in cells(folder).items()
        if any(secret in text for text in versions)
    ]
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]
    return [*inside, *(str(path.relative_to(folder)) for path in files)]
