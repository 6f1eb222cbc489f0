"""Every file that an environment is made of is known by its hash before it is fetched."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agent_assets.engines import install

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "deploy" / "requirements"
FILES = {
    path.stem: path
    for folder in (REQUIREMENTS, install.LOCKS)
    for path in sorted(folder.glob("*.lock"))
}
LOCKS = list(FILES)
# What a lock is made from, where that is not the .txt file of its name.
FROM_PYPROJECT = {
    "core": ("embedded", "dev"),
    "extras": ("s3", "onnx"),
    "container": ("s3",),
    "art-local": ("art-local",),
}


def entries(lock: str) -> dict[str, str]:
    """Text of each entry of a lock, by the canonical name of its package."""
    text = FILES[lock].read_text(encoding="utf-8").strip()
    return {
        str(canonicalize_name(entry.split("==")[0])): entry for entry in re.split(r"\n(?=\S)", text)
    }


def version_in(entry: str) -> str:
    return entry.split("==")[1].split(" ", maxsplit=1)[0]


def wanted(lock: str) -> list[Requirement]:
    if lock in FROM_PYPROJECT:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        of_extras = [line for extra in FROM_PYPROJECT[lock] for line in extras[extra]]
        return [Requirement(line) for line in [*project["dependencies"], *of_extras]]
    source = REQUIREMENTS / f"{lock}.txt"
    if not source.exists():
        return []
    lines = [line.split(" #")[0].strip() for line in source.read_text("utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_has_a_version_and_hashes(lock: str) -> None:
    for entry in entries(lock).values():
        assert re.match(r"[A-Za-z0-9_.-]+==[^ ]+ ", entry), entry
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}(?![0-9a-f])", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_is_asked_for(lock: str) -> None:
    """A requirement that was added without `deploy/lock.sh` would be missing after `make setup`."""
    locked = entries(lock)
    if lock == "extras":
        locked |= entries("core")
    if lock in ("engine-cpu", "engine-unsloth"):
        locked |= entries("engine-cpu-torch")
    for requirement in wanted(lock):
        name = str(canonicalize_name(requirement.name))
        assert name in locked, f"{name} is not in {lock}.lock: run deploy/lock.sh"
        assert requirement.specifier.contains(version_in(locked[name]), prereleases=True), name


def test_an_image_has_the_versions_that_are_tested() -> None:
    tested = entries("core") | entries("extras")
    for name, entry in entries("container").items():
        assert version_in(entry) == version_in(tested[name]), f"{name}: run deploy/lock.sh"
    assert not any("fiftyone" in name for name in entries("container"))  # mongod's licence: SSPL


def test_nothing_is_installed_without_its_hash() -> None:
    for script in ("setup.sh", "test-environments.sh", "audit.sh", "docs.sh"):
        text = (ROOT / "deploy" / script).read_text(encoding="utf-8")
        for line in text.splitlines():
            if "pip install" in line and not line.lstrip().startswith(("#", "die ")):
                # The product itself, from this folder, with nothing fetched.
                assert "--require-hashes" in line or "--no-index" in line, line
    assert "core.lock" in (ROOT / "deploy" / "setup.sh").read_text(encoding="utf-8")
    steps = {step.lock for recipe in install.RECIPES.values() for step in recipe.steps}
    # The converter is no environment: `make_export_tools` installs it.
    assert steps | {"installers", "export"} == {path.stem for path in install.LOCKS.glob("*.lock")}
