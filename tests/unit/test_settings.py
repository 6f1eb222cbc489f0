"""Settings from the environment, and that nothing else reads it."""

import ast
import os
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError
from agent_assets.settings import load_settings, set_environment, teacher_environment
from support.command_line import ROOT as REPOSITORY

# They run in environments that do not hold this one's libraries.
ENGINE_PROGRAMS = ("agent_assets/engines/programs/", "agent_assets/engines/launch/supervisor.py")


def test_what_is_not_set_or_empty_has_its_default() -> None:
    settings = load_settings({"AGENT_ASSETS_STORE": "", "MONGODB_URI": "", "WANDB_PROJECT": "mine"})
    assert settings == load_settings({})
    assert settings.home == REPOSITORY / ".agent_assets"
    assert settings.store == str(settings.home / "store")
    assert settings.engines == REPOSITORY / ".venvs"
    assert (settings.device, settings.mongodb_database) == ("auto", "afs")
    assert settings.mongodb_uri is settings.secret is settings.postgres_url is None
    assert settings.wandb_project is None, "without a key nothing is sent"


def test_traces_leave_the_machine_with_two_settings_and_not_with_one() -> None:
    key = {"WANDB_API_KEY": "k"}
    assert load_settings(key).wandb_project is None
    assert load_settings(key | {"WANDB_PROJECT": "mine"}).wandb_project is None
    assert load_settings(key | {"TRACES": "wandb"}).wandb_project == "agent-assets"
    both = key | {"TRACES": "wandb", "WANDB_PROJECT": "mine"}
    assert load_settings(both).wandb_project == "mine"
    with pytest.raises(ConfigError, match="no key of W&B"):
        load_settings({"TRACES": "wandb"})
    with pytest.raises(ConfigError, match="TRACES is 'w&b'"):
        load_settings({"TRACES": "w&b"})


def test_folders_are_made_absolute_and_urls_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.chdir("/tmp")
    settings = load_settings({"AGENT_ASSETS_HOME": "~/here", "AGENT_ASSETS_STORE": "store"})
    assert (settings.home, settings.store) == (Path("/home/ada/here"), "/tmp/store")
    assert load_settings({"AGENT_ASSETS_STORE": "s3://bucket/x"}).store == "s3://bucket/x"


def test_a_wrong_device_is_named_with_the_right_ones() -> None:
    with pytest.raises(ConfigError, match="AGENT_ASSETS_DEVICE is 'tpu'") as error:
        load_settings({"AGENT_ASSETS_DEVICE": "tpu"})
    assert error.value.next_step == "set it to auto, cpu or gpu, or unset it."


def test_secrets_are_in_no_representation() -> None:
    variables = {
        "MONGODB_URI": "mongodb://u:hidden@h/",
        "AGENT_ASSETS_SECRET": "hidden",
        "DAGSTER_POSTGRES_URL": "postgresql://u:hidden@h/",
        "OPENAI_API_KEY": "hidden",
    }
    assert "hidden" not in f"{load_settings(variables)!r} {teacher_environment(variables)!r}"


def test_variables_that_were_set_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "before")
    monkeypatch.delenv("NOT_THERE", raising=False)
    with set_environment({"THERE": "now", "NOT_THERE": "now"}):
        assert os.environ["THERE"] == os.environ["NOT_THERE"] == "now"
    assert os.environ["THERE"] == "before" and "NOT_THERE" not in os.environ


def test_nothing_else_reads_the_environment() -> None:
    """Others may set a variable (`update`, `setdefault`), for a library or a child."""
    readers = {
        f"{name}:{node.lineno}"
        for path in (REPOSITORY / "agent_assets").rglob("*.py")
        if not (name := str(path.relative_to(REPOSITORY))).startswith(ENGINE_PROGRAMS)
        and name != "agent_assets/settings.py"
        for node in _uses_of_environment(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert readers == set()


def _uses_of_environment(tree: ast.Module) -> list[ast.Attribute]:
    writes = {
        node.func.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"update", "setdefault"}
    }
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "environb", "getenv"}
        and node not in writes
    ]
