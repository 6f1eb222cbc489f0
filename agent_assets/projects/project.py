"""The project of an installation: the folder whose pipelines run, found as git finds a repository.

A project is a folder with a `[tool.agent_assets]` in its pyproject.toml; `agent-assets init` writes
one. `[tool.dg.project]` of the same file names the package that holds definitions.py and defs/. A
checkout of agent-assets is the project of its own code, and of no other.
"""

import importlib
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.errors import ConfigError

if TYPE_CHECKING:
    import dagster as dg

OWN_PACKAGE = Path(__file__).resolve().parent.parent
_FILE = "pyproject.toml"


@dataclass(frozen=True)
class Project:
    """A folder with pipelines.

    Attributes:
        folder: holds pyproject.toml, dagster.yaml, and the state of the installation.
        package: the Python package that holds definitions.py and defs/.
    """

    folder: Path
    package: str

    @property
    def import_path(self) -> Path:
        """The folder from which Python imports the package: `src` where there is one."""
        src = self.folder / "src"
        return src if (src / self.package).is_dir() else self.folder

    @property
    def defs(self) -> Path:
        """Its pipelines, each in a folder with a defs.yaml; serving.yaml and automation.yaml."""
        return self.import_path / self.package / "defs"

    @property
    def definitions(self) -> str:
        """Module with the Dagster definitions."""
        return f"{self.package}.definitions"

    def make_importable(self) -> None:
        """Let Python import the package, installed or not."""
        if str(self.import_path) not in sys.path:
            sys.path.append(str(self.import_path))


def load_definitions(project: Project) -> "dg.Definitions":
    """The Dagster definitions of a project, loaded anew."""
    project.make_importable()
    definitions: dg.Definitions = importlib.import_module(project.definitions).defs()
    return definitions


def find_project(start: Path) -> Project | None:
    """The project that a folder lies in; otherwise the checkout that this code runs from.

    Raises:
        ConfigError: its pyproject.toml is not valid, or names no package that is there.
    """
    for folder in (start, *start.parents):
        if (project := _read(folder)) is not None and project.package != OWN_PACKAGE.name:
            return project
    return _read(OWN_PACKAGE.parent)


def project_at(folder: Path) -> Project:
    """The project in this folder.

    Raises:
        ConfigError: there is none, or its pyproject.toml is not valid.
    """
    if (project := _read(folder.expanduser().resolve())) is None:
        raise ConfigError(
            f"{folder} is not a project: there is no {_FILE} with [tool.agent_assets] in it.",
            next_step=f"name another folder, or make a project: agent-assets init {folder}",
        )
    return project


def require_project(project: Project | None) -> Project:
    """The project of this installation.

    Raises:
        ConfigError: there is none.
    """
    if project is None:
        raise ConfigError(
            "There is no project in this folder, or in one above it.",
            next_step="make one with `agent-assets init DIR`, go into one, or name one in "
            "AGENT_ASSETS_PROJECT.",
        )
    return project


def _read(folder: Path) -> Project | None:
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", next_step="correct it.") from None
    if "agent_assets" not in tool:
        return None
    settings = tool.get("dg", {}).get("project", {})
    package = settings.get("root_module")
    if not isinstance(package, str):
        raise ConfigError(
            f"{path} does not say which package holds the pipelines.",
            next_step='name it: root_module = "..." below [tool.dg.project].',
        )
    project = Project(folder, package)
    if not project.defs.is_dir():
        raise ConfigError(
            f"{path} names the package {package}, and {project.defs} is not there.",
            next_step="correct root_module below [tool.dg.project], or make the folder.",
        )
    return project
