"""What `agent-assets init` writes, and where it writes nothing."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_assets.automation.config import load_automation
from agent_assets.automation.pipelines import load_graphs
from agent_assets.demo.run import run_demo
from agent_assets.errors import ConfigError
from agent_assets.projects.init import write_project
from agent_assets.projects.project import OWN_PACKAGE
from agent_assets.serving_settings import load_serving
from agent_assets.settings import load_settings

NOBODY = 65534


@pytest.mark.parametrize(
    ("name", "samples", "pipelines"),
    [
        ("first-agents", True, ["elder_companion", "energy_expert", "first_agents"]),
        ("lone_agents", False, ["lone_agents"]),
    ],
)
def test_its_pipelines_load(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    samples: bool,
    pipelines: list[str],
) -> None:
    folder = tmp_path / name
    written = write_project(folder, samples=samples)
    assert set(written) == {path for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setenv("AGENT_ASSETS_PROJECT", str(folder))
    monkeypatch.syspath_prepend(folder)
    graphs = load_graphs()
    assert [graph.name for graph in graphs] == pipelines
    assert all(folder in graph.spec.folder.parents for graph in graphs)
    settings = load_settings()
    assert settings.automation == folder / pipelines[-1] / "defs" / "automation.yaml"
    # What it writes is what there was without it.
    assert load_automation() == load_automation(OWN_PACKAGE / "defs" / "automation.yaml")
    serving = folder / pipelines[-1] / "defs" / "serving.yaml"
    assert load_serving().inference.slots == 8
    serving.write_text("inference: {slots: 3}", encoding="utf-8")
    assert load_serving().inference.slots == 3
    if not samples:
        with pytest.raises(ConfigError, match="no sample pipeline elder_companion and no energy"):
            run_demo(settings, elders=None)
        return
    elder = next(graph for graph in graphs if graph.name == "elder_companion").spec
    exams = elder.config.eval_report.exams
    assert exams is not None and list((elder.folder / exams).glob("*.jsonl"))


def test_the_folder_it_stands_in_may_be_a_new_git_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "agents_in_git"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert folder / "agents_in_git" / "definitions.py" in write_project(Path(), samples=False)
    assert ".env\n" in (folder / ".gitignore").read_text(encoding="utf-8")


def test_a_folder_that_is_not_empty_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for name in ("taken", "file"):
        with pytest.raises(ConfigError, match="is not an empty folder") as caught:
            write_project(tmp_path / name, samples=True)
        assert "overwrites nothing" in str(caught.value.next_step)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("3agents", "cannot be the name of a Python package"),
        ("my agents", "cannot be the name of a Python package"),
        ("agents.", "cannot be the name of a Python package"),
        ("class", "cannot be the name of a Python package"),
        ("a" * 65, "cannot be the name of a Python package"),
        ("json", "is the name of a package or a sample"),
        ("dagster", "is the name of a package or a sample"),
        ("agent-assets", "is the name of a package or a sample"),
        ("energy-expert", "is the name of a package or a sample"),
    ],
)
def test_a_name_that_no_package_can_have(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        write_project(tmp_path / name, samples=False)
    assert caught.value.next_step and not (tmp_path / name).exists()


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    with as_nobody(closed), pytest.raises(ConfigError, match="Permission denied") as caught:
        write_project(closed / "agents_of_mine", samples=False)
    assert caught.value.next_step == "name a folder that you may write to."
    assert list(closed.iterdir()) == []


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Write as somebody who may not write in the folder; root may everywhere."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.parents)}
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield
        folder.chmod(modes[folder])
        return
    ours = [path for path in modes if path.stat().st_uid == 0 and not modes[path] & stat.S_IXOTH]
    for path in ours:
        path.chmod(modes[path] | stat.S_IROTH | stat.S_IXOTH)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for path in ours:
            path.chmod(modes[path])
