"""Temporary folders of killed engine programs: only what nobody uses goes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import cast

import pytest

from agent_assets.erasure.place import Scene
from agent_assets.erasure.places.host_files import SCRATCH_PREFIX, Scratch
from agent_assets.store.disk import in_use


def test_a_folder_of_a_program_that_lives_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = ("left", "watched", "engines")
    left, watched, used = (tmp_path / f"{SCRATCH_PREFIX}{name}" for name in names)
    for folder in (left, watched, used):
        folder.mkdir()
        (folder / "rows.jsonl").write_text("The heron never came back.")
    scene = cast(Scene, None)  # the same for everybody
    program = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(used)},
    )
    try:
        with in_use(watched):
            assert [Path(item.label).parent for item in Scratch().items(scene)] == [left]
            Scratch().remove(scene)
    finally:
        program.kill()
        program.communicate()
    assert sorted(tmp_path.iterdir()) == sorted([watched, used])
