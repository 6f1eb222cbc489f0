"""A damaged index costs time, never a plan: it is set aside and made anew."""

import sqlite3
from pathlib import Path

import pytest

from agent_assets.errors import StoreFull
from agent_assets.planning.elders import known_set_aside
from agent_assets.planning.index import FILE, PlanIndex
from agent_assets.store.sqlite_file import SqliteDamaged


def row(index: PlanIndex, elder: str, skipped: str) -> None:
    with index.open() as connection:
        connection.execute(
            "INSERT INTO elders VALUES ('s', ?, 'm', NULL, 'd', 1.0, NULL, ?)", (elder, skipped)
        )


def set_aside(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{FILE}.damaged-*"))


def test_a_file_that_is_no_database_is_made_anew(tmp_path: Path) -> None:
    row(PlanIndex(tmp_path), "ada", "{}")
    (tmp_path / FILE).write_bytes(b"not a database" * 500)
    for ending in ("-wal", "-shm"):
        (tmp_path / (FILE + ending)).unlink(missing_ok=True)
    with PlanIndex(tmp_path).open() as connection:
        assert connection.execute("SELECT count(*) FROM elders").fetchone() == (0,)
    assert len(set_aside(tmp_path)) == 1


def test_damage_that_shows_later_ends_one_look(tmp_path: Path) -> None:
    index = PlanIndex(tmp_path)
    for number in range(500):
        row(index, f"elder-{number}", "{}" + " " * 200)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray((tmp_path / FILE).read_bytes())
    content[20_000:] = b"\x00" * (len(content) - 20_000)
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SqliteDamaged, match="made anew"), index.open() as connection:
        connection.execute("SELECT sum(length(skipped)) FROM elders").fetchone()
    assert len(set_aside(tmp_path)) == 1
    row(PlanIndex(tmp_path), "ada", "{}")


def test_a_damaged_row_is_one_elders_trouble(tmp_path: Path) -> None:
    index = PlanIndex(tmp_path)
    row(index, "ada", '{"html": 1')
    row(index, "bob", '{"html": 2}')
    assert known_set_aside(index, "s")["documents (html)"].count == 2


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    index = PlanIndex(tmp_path)
    with pytest.raises(StoreFull, match="No space left"), index.open() as connection:
        connection.execute("PRAGMA max_page_count = 20")
        for number in range(5000):
            connection.execute("INSERT INTO meta VALUES (?, ?)", (f"n{number}", "x" * 1000))
    row(index, "ada", "{}")
