"""A rewriting of the embedded MongoDB that was cut short: the next start finds one database."""

from pathlib import Path

import pytest

from agent_assets.mongo.embedded.rewrite import NEW, OLD, finish_rewrite, rewritten_for, write_mark


def database(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "collection.wt").write_text(content)


@pytest.mark.parametrize("filled", [False, True])
def test_the_old_one_stays_while_the_new_one_is_filled(tmp_path: Path, filled: bool) -> None:
    database(tmp_path / "db", "old")
    database(tmp_path / NEW / "db", "half")
    if filled:
        write_mark(tmp_path, "request")
    finish_rewrite(tmp_path)
    assert (tmp_path / "db" / "collection.wt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["db"] and rewritten_for(tmp_path) == ""


def test_between_the_two_renames_the_new_one_takes_over(tmp_path: Path) -> None:
    database(tmp_path / OLD, "old")
    database(tmp_path / NEW / "db", "new")
    write_mark(tmp_path, "request")
    finish_rewrite(tmp_path)
    assert (tmp_path / "db" / "collection.wt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["db"]
    assert rewritten_for(tmp_path) == "request"


def test_after_both_only_the_old_one_is_left_to_remove(tmp_path: Path) -> None:
    database(tmp_path / OLD, "old")
    database(tmp_path / "db", "new")
    (tmp_path / NEW).mkdir()
    finish_rewrite(tmp_path)
    assert (tmp_path / "db" / "collection.wt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["db"]
