"""`agent-assets init`: write a project."""

import importlib.util
import keyword
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from agent_assets.errors import ConfigError
from agent_assets.projects.project import OWN_PACKAGE
from agent_assets.projects.templates import pipeline_files, project_files, valid_name

_SAMPLES = ("elder_companion", "energy_expert")
_DOTTED = {"env.example": ".env.example", "gitignore": ".gitignore"}


def write_project(folder: Path, *, samples: bool) -> list[Path]:
    """Write a project with one pipeline of its own into a new or an empty folder.

    Args:
        folder: its name, with `_` for `-`, is that of the Python package and of the pipeline.
        samples: whether the sample pipelines are copied, too.

    Returns:
        The files that were written, sorted.

    Raises:
        ConfigError: the folder is not empty or cannot be written to, or its name cannot be that of
            a package.
    """
    folder = folder.expanduser().resolve()
    package = _package_name(folder)
    _check_empty(folder)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        contents = dict(_contents(folder, package, samples=samples))
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(
            f"{folder} cannot hold a project: {error.strerror}.",
            next_step="name a folder that you may write to.",
        ) from None
    return sorted(contents)


def _package_name(folder: Path) -> str:
    name = folder.name.replace("-", "_")
    if not valid_name(name) or keyword.iskeyword(name):
        raise ConfigError(
            f"'{folder.name}' cannot be the name of a Python package.",
            next_step="name a folder of letters, digits, - and _ that starts with a letter.",
        )
    if name in (*sys.stdlib_module_names, *_SAMPLES) or importlib.util.find_spec(name) is not None:
        raise ConfigError(
            f"'{folder.name}' is the name of a package or a sample that is there already.",
            next_step="name a folder that no Python package is called after.",
        )
    return name


def _check_empty(folder: Path) -> None:
    try:
        is_free = not folder.exists() or {path.name for path in folder.iterdir()} <= {".git"}
    except NotADirectoryError:
        is_free = False
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be read: {error.strerror}.",
            next_step="name a folder that you may write to.",
        ) from None
    if not is_free:
        raise ConfigError(
            f"{folder} is not an empty folder.",
            next_step="name one that is not there yet; `init` overwrites nothing.",
        )


def _contents(folder: Path, package: str, *, samples: bool) -> Iterator[tuple[Path, bytes]]:
    """Every file of the project, and its content."""
    values = {
        "package": package,
        "folder": folder,
        "version": version("agent-assets"),
        "dagster_version": version("dagster"),
    }
    for name, content in project_files(values):
        yield folder / _DOTTED.get(name, name.replace("_package", package)), content
    own = OWN_PACKAGE / "defs"
    defs = folder / package / "defs"
    for name, content in pipeline_files(package):
        yield defs / package / name, content
    yield folder / "dagster.yaml", (OWN_PACKAGE / "runs" / "dagster.yaml").read_bytes()
    for name in ("automation.yaml", "serving.yaml"):
        yield defs / name, (own / name).read_bytes()
    if samples:
        yield from _sample_files(own, defs)


def _sample_files(own: Path, defs: Path) -> Iterator[tuple[Path, bytes]]:
    for sample in _SAMPLES:
        for path in sorted((own / sample).iterdir()):
            content = path.read_bytes()
            if path.name == "defs.yaml":
                content = content.replace(b"exams: ../../demo/exams", b"exams: exams")
            yield defs / sample / path.name, content
    for path in sorted((OWN_PACKAGE / "demo" / "exams").glob("*.jsonl")):
        yield defs / "elder_companion" / "exams" / path.name, path.read_bytes()
