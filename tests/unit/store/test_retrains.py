"""Agents that a person had trained anew: another fingerprint, and only theirs."""

from pathlib import Path

import pytest

from agent_assets.errors import StoreError
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.retrains import (
    count_retrain,
    forget_retrains,
    retrain_inputs,
    retrains,
)

ADA = ArtifactKey("elder_companion", "sft_adapter", "ada")
BEN = ArtifactKey("elder_companion", "sft_adapter", "ben")


def test_only_who_was_trained_anew_has_another_input(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    assert retrain_inputs(store, ADA) == {}
    assert [count_retrain(store, "elder_companion", "ada") for _ in range(2)] == [1, 2]
    assert (retrain_inputs(store, ADA), retrain_inputs(store, BEN)) == ({"retrain": "2"}, {})
    count_retrain(store, "energy_expert", "energy_expert")
    assert retrain_inputs(store, ArtifactKey("energy_expert", "sft_adapter")) == {"retrain": "1"}
    forget_retrains(store, "ada")
    assert retrains(store, "elder_companion") == {}
    assert retrains(store, "energy_expert") == {"energy_expert": 1}


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    count_retrain(store, "elder_companion", "ada")
    (tmp_path / ".retrains" / "elder_companion.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be read"):
        retrain_inputs(store, ADA)
