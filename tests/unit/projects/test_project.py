"""Where a project is found, and what settings follow from it."""

import os
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError
from agent_assets.projects import project as projects
from agent_assets.projects.project import Project, find_project, require_project
from agent_assets.settings import enter_project, load_settings
from support.command_line import ROOT

TABLES = '[tool.agent_assets]\n[tool.dg.project]\nroot_module = "mine"\n'


def make(folder: Path, package: str = "mine", tables: str = TABLES) -> Path:
    (folder / package / "defs").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(tables, encoding="utf-8")
    return folder


def test_a_project_is_found_from_every_folder_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "here")
    below = folder / "notes" / "of" / "ours"
    below.mkdir(parents=True)
    assert find_project(below) == Project(folder, "mine")
    monkeypatch.chdir(below)
    settings = load_settings({})
    assert settings.project == Project(folder, "mine")
    assert (settings.home, settings.engines) == (folder / ".agent_assets", folder / ".venvs")
    assert settings.automation == ROOT / "agent_assets" / "defs" / "automation.yaml"
    own = folder / "mine" / "defs" / "automation.yaml"
    own.touch()
    assert load_settings({}).automation == own


def test_a_project_is_named_by_a_variable(tmp_path: Path) -> None:
    folder = make(tmp_path / "here")
    assert load_settings({"AGENT_ASSETS_PROJECT": str(folder)}).project == Project(folder, "mine")
    with pytest.raises(ConfigError, match="is not a project") as caught:
        load_settings({"AGENT_ASSETS_PROJECT": str(tmp_path)})
    assert f"agent-assets init {tmp_path}" in str(caught.value.next_step)


def test_sources_may_lie_in_src(tmp_path: Path) -> None:
    (tmp_path / "src" / "mine" / "defs").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(TABLES, encoding="utf-8")
    project = find_project(tmp_path)
    assert project is not None and project.import_path == tmp_path / "src"
    assert project.defs == tmp_path / "src" / "mine" / "defs"


def test_elsewhere_a_checkout_is_the_project_of_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_project(tmp_path) == Project(ROOT, "agent_assets")
    # Another checkout, from which this code does not run.
    other = make(tmp_path / "other", "agent_assets", TABLES.replace("mine", "agent_assets"))
    assert find_project(other) == Project(ROOT, "agent_assets")
    # Installed: nothing beside the package says that there is a project.
    monkeypatch.setattr(projects, "OWN_PACKAGE", tmp_path / "site-packages" / "agent_assets")
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    assert settings.project is None
    assert settings.home == Path.home() / ".agent_assets"
    assert settings.engines == settings.home / "engines"
    with pytest.raises(ConfigError, match="There is no project in this folder") as caught:
        require_project(settings.project)
    assert "agent-assets init DIR" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ("[tool.agent_assets", "is not valid TOML"),
        ("[tool.agent_assets]", "does not say which package holds the pipelines"),
        (TABLES.replace("mine", "yours"), "names the package yours, and"),
    ],
)
def test_a_pyproject_that_is_wrong_is_named(tmp_path: Path, tables: str, says: str) -> None:
    folder = make(tmp_path / "here", tables=tables)
    with pytest.raises(ConfigError, match=says) as caught:
        find_project(folder)
    assert str(folder / "pyproject.toml") in caught.value.message and caught.value.next_step


def test_variables_of_the_project_come_after_those_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "here")
    (folder / ".env").write_text("MONGODB_DATABASE=theirs\nTEACHER_MODEL=m\n", encoding="utf-8")
    for name in ("MONGODB_DATABASE", "AGENT_ASSETS_PROJECT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEACHER_MODEL", "mine")
    # Started elsewhere, for a file of the project: children work on the same one.
    settings = enter_project(folder / "mine" / "definitions.py")
    assert (settings.project, settings.mongodb_database) == (Project(folder, "mine"), "theirs")
    assert os.environ["TEACHER_MODEL"] == "mine"
    assert load_settings().project == settings.project
