"""Making engine environments, with locks that take seconds."""

import sys
from pathlib import Path

import pytest

from agent_assets.engines import install
from agent_assets.engines.environment import find_engine_env
from agent_assets.engines.install import RECIPES, LockStep, Recipe, engine_for, make_engine
from agent_assets.errors import ConfigError, EngineFailed, EngineMissing

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one lock of `cpu`; it names nothing."""
    folder = tmp_path / "locks"
    folder.mkdir()
    for name in ("installers", "small"):
        (folder / f"{name}.lock").write_text("# nothing\n", encoding="utf-8")
    monkeypatch.setattr(install, "LOCKS", folder)
    monkeypatch.setattr(install, "_INSTALLERS", folder / "installers.lock")
    small = Recipe(HERE, "PYTHON_CPU", "a second", (LockStep("small"),))
    monkeypatch.setitem(RECIPES, "cpu", small)
    return folder / "small.lock"


def test_an_environment_is_made_once_and_again_for_another_lock(
    tmp_path: Path, lock: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engines, said = tmp_path / "engines", list[str]()
    with pytest.raises(EngineMissing) as missing:
        find_engine_env("cpu", engines)
    assert "agent-assets setup cpu" in str(missing.value.next_step)
    assert make_engine("cpu", engines, said.append)
    assert "(a second)" in said[0]
    assert find_engine_env("cpu", engines).python.is_file()
    assert not make_engine("cpu", engines, said.append) and len(said) == 1

    # Another file than the lock names is not installed, and the environment is not up to date.
    wheel = tmp_path / "small-1-py3-none-any.whl"
    wheel.write_bytes(b"changed")
    lock.write_text(f"{wheel} --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    with pytest.raises(EngineFailed, match=r"pip could not install small\.lock"):
        make_engine("cpu", engines, said.append)
    assert "HASHES" in capfd.readouterr().err
    with pytest.raises(EngineFailed):
        make_engine("cpu", engines, said.append)
    lock.write_text("# nothing again\n", encoding="utf-8")
    assert make_engine("cpu", engines, said.append)


def test_another_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "3.12" if HERE != "3.12" else "3.11"
    monkeypatch.setitem(RECIPES, "gpu", Recipe(other, "PYTHON_GPU", "", ()))
    monkeypatch.setenv("PYTHON_GPU", sys.executable)
    with pytest.raises(ConfigError, match=f"need Python {other} with its venv module") as caught:
        make_engine("gpu", tmp_path, print)
    assert "PYTHON_GPU" in str(caught.value.next_step)
    monkeypatch.setenv("PYTHON_GPU", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="does not start"):
        make_engine("gpu", tmp_path, print)


def test_a_folder_that_cannot_hold_engines(tmp_path: Path, lock: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot hold engine environments") as caught:
        make_engine("cpu", tmp_path / "file" / "engines", print)
    assert "AGENT_ASSETS_ENGINES" in str(caught.value.next_step)


def test_a_device_that_is_chosen_needs_its_engines() -> None:
    assert (engine_for("cpu"), engine_for("gpu")) == ("cpu", "gpu")


def test_every_lock_of_a_recipe_travels_with_the_package() -> None:
    for recipe in RECIPES.values():
        assert all(step.path.is_file() for step in recipe.steps)
