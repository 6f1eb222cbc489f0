"""What a stranger has: the wheel, no checkout, an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent_assets.engines.environment import EngineEnv, site_packages
from support.command_line import ROOT, error_of

PACKAGES = ("agent_assets", "resources")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would keep files of earlier builds."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(source / "dist"), str(source))
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own; its libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("site-packages")
    pip("install", "--target", str(folder), str(wheel))
    return folder


def pip(command: str, *arguments: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", command, *quiet, *arguments], check=True)


def command(
    installed: Path, folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """An `agent-assets` of the wheel, called in a folder."""
    environment = {name: value for name, value in os.environ.items() if "MONGODB" not in name}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(folder), **variables}
    program = [sys.executable, "-P", "-c", "from agent_assets.cli.main import main; main()"]
    return subprocess.run(
        [*program, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    files = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == files


def test_a_stranger_is_told_what_is_missing(installed: Path, tmp_path: Path) -> None:
    error = error_of(command(installed, tmp_path, "tools"))
    assert "There is no project in this folder" in error and "agent-assets init DIR" in error
    refused = command(installed, tmp_path, "setup", "cpu", PYTHON_CPU="no-such-python")
    assert "no-such-python does not start" in error_of(refused)


def test_a_project_works_from_every_folder_in_it(installed: Path, tmp_path: Path) -> None:
    done = command(installed, tmp_path, "init", "my-agents", "--no-samples")
    assert done.returncode == 0, done.stderr
    project = tmp_path / "my-agents"
    assert "is not an empty folder" in error_of(command(installed, tmp_path, "init", "my-agents"))
    below = project / "my_agents" / "defs"
    doctor = command(installed, below, "doctor", AGENT_ASSETS_DEVICE="cpu").stdout.splitlines()
    ok = {line.split()[1]: line for line in doctor if line.startswith("ok ")}
    assert "my_agents" in ok["pipelines"] and str(project / ".agent_assets") in ok["home"]
    (engine,) = [n for n, line in enumerate(doctor) if line.startswith("MISSING  engine cpu")]
    assert str(project / ".venvs" / "cpu") in doctor[engine]
    assert doctor[engine + 1].strip() == "fix: agent-assets setup cpu"


@pytest.mark.engine
def test_engine_programs_import_the_package_and_nothing_beside_it(
    installed: Path, engine_env: EngineEnv
) -> None:
    """The folder of the package holds Dagster's libraries, too: pydantic and others of another
    version than the engine's.
    """
    (installed / "numpy").mkdir(exist_ok=True)  # what must not shadow the engine's own
    code = (
        "import agent_assets.engines.programs.swift_sft as ours, numpy;"
        "print(ours.__file__); print(numpy.__file__)"
    )
    path = installed / "agent_assets" / "engines" / "import_path"
    done = subprocess.run(
        [str(engine_env.python), "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(path)},
        cwd=installed.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    ours, numpy = map(Path, done.stdout.split())
    assert installed in ours.parents and site_packages(engine_env) in numpy.parents
