"""Exports that need no converter, and everything that is refused before one starts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.engines.export_contracts import FileAgreement
from agent_assets.errors import (
    CorruptArtifact,
    EngineMissing,
    ExportError,
    ReleaseError,
    StoreFull,
)
from agent_assets.export.config import ExportConfig, why_not_verified
from agent_assets.export.manifest import Form
from agent_assets.export.model_folder import ExportRequest, export_model
from agent_assets.release.pointer import drop
from agent_assets.store.artifact_store import ArtifactKey
from support.artifacts import add_artifact
from support.export_world import ExportWorld, make_export_world


@pytest.fixture
def world(tmp_path: Path) -> ExportWorld:
    return make_export_world(tmp_path / "home")


def export(world: ExportWorld, form: Form, folder: Path | None = None) -> Path:
    return export_model(world.settings, ExportRequest("ada", form, folder=folder), print)[0]


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("hf", {"export.json", "model.safetensors"}),
        ("adapter", {"adapter_config.json", "adapter_model.safetensors", "export.json"}),
    ],
)
def test_a_folder_has_the_files_and_says_whose_they_are(
    world: ExportWorld, form: Form, names: set[str]
) -> None:
    folder = export(world, form)
    assert folder.parent == world.home / "exports" / "elder_companion" / "ada"
    assert {path.name for path in folder.iterdir()} == names
    manifest = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert manifest["agent"] == "elder_companion/ada"
    assert manifest["version"] == "1" * 32
    assert set(manifest["files"]) == names - {"export.json"}


def test_nothing_is_overwritten(world: ExportWorld, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="is there already"):
        export(world, "hf", tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_an_agent_without_a_release_is_named_with_what_to_look_at(world: ExportWorld) -> None:
    drop(world.store, ("elder_companion", "ada"), author="test", reason="test")
    with pytest.raises(ReleaseError, match="elder_companion/ada has no release") as refused:
        export(world, "gguf")
    assert "agent-assets releases ada" in str(refused.value.next_step)


def test_weights_that_were_changed_are_not_handed_out(world: ExportWorld) -> None:
    file = next(world.home.glob("store/*/merged_model/ada/*/model.safetensors"))
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(CorruptArtifact, match="differs from its manifest"):
        export(world, "hf")
    assert not list((world.home / "exports").rglob("*.safetensors"))


def test_without_the_converter_the_command_that_installs_it_is_named(
    world: ExportWorld, tmp_path: Path
) -> None:
    elsewhere = ExportWorld(replace(world.settings, engines=tmp_path / "none"), world.store)
    for form in ("gguf", "ollama"):
        with pytest.raises(EngineMissing) as refused:
            export(elsewhere, form)
        assert "agent-assets setup export" in str(refused.value.next_step)
    assert not any((world.home / "exports").rglob("*.gguf"))


def test_a_model_larger_than_the_disk_is_refused_before_it_is_converted(
    world: ExportWorld, tmp_path: Path
) -> None:
    """Its header names a million times a billion numbers."""
    header = {"weight": {"dtype": "F32", "shape": [10**6, 10**9], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    file = next(world.home.glob("store/*/merged_model/ada/*/model.safetensors"))
    folder, tools = file.parent, tmp_path / "engines" / "export"
    (tools / "cyllama").mkdir(parents=True)
    (tools / "convert_hf_to_gguf.py").touch()
    large = len(text).to_bytes(8, "little") + text
    key = ArtifactKey("elder_companion", "merged_model", "ada")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    add_artifact(world.store, key, manifest["fingerprint"], {"model.safetensors": large})
    settings = replace(world.settings, engines=tmp_path / "engines")
    with pytest.raises(StoreFull, match="GB are free there"):
        export(ExportWorld(settings, world.store), "gguf")


AGREES = FileAgreement(4, 200, 0.96, 0.97, True)


@pytest.mark.parametrize(
    ("quantization", "agreement", "reference", "problem"),
    [
        ("q8_0", AGREES, replace(AGREES, token_agreement=1.0), None),
        ("f16", AGREES, replace(AGREES, token_agreement=1.0), "96.0% of 200 positions; 99.0%"),
        ("q4_k_m", AGREES, AGREES, "before they were quantized"),
        ("q8_0", replace(AGREES, same_tokens=False), AGREES, "other tokens than the tokenizer"),
    ],
)
def test_a_file_below_its_threshold_is_not_verified(
    quantization: str, agreement: FileAgreement, reference: FileAgreement, problem: str | None
) -> None:
    config = ExportConfig.model_validate({"quantization": quantization})
    problems = why_not_verified(agreement, reference, config.threshold)
    assert (problem is None) == (problems == [])
    assert problem is None or any(problem in text for text in problems)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ada", "--to", "gguf", "--quantization", "q3_k"], "'q3_k' is not one of 'f16', 'q8_0'"),
        (["ada", "--to", "onnx"], "'onnx' is not one of"),
        (["ada"], "Say either --to, or --bundle."),
        (["ada", "--to", "hf", "--bundle"], "Say either --to, or --bundle."),
        (["ada", "--to", "hf", "--key", "k.pem"], "--key signs a bundle"),
    ],
)
def test_the_command_says_what_it_does_not_know(arguments: list[str], problem: str) -> None:
    done = CliRunner().invoke(commands, ["export-model", *arguments])
    assert done.exit_code == 2
    assert problem in done.output
