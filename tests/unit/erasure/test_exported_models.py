"""Weights hold no words, yet an erasure finds exported models in the home by whose they are."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from agent_assets.erasure.place import Scene
from agent_assets.erasure.places.exports import Exports
from agent_assets.erasure.request import ErasureRequest
from agent_assets.export.bundle import export_bundle, import_bundle
from agent_assets.export.model_folder import ExportRequest, export_model
from agent_assets.export.places import scratch_folders
from agent_assets.settings import Settings
from agent_assets.store.disk import in_use
from agent_assets.store.retention import apply_pruning, plan_pruning
from support.export_world import ExportWorld, make_export_world


@dataclass(frozen=True)
class SmallScene:
    settings: Settings
    installation: SimpleNamespace
    request: ErasureRequest


@pytest.fixture
def world(tmp_path: Path) -> ExportWorld:
    return make_export_world(tmp_path / "home")


def scene(world: ExportWorld, elder: str, memory: str | None) -> Scene:
    installation = SimpleNamespace(graphs=(), store=world.store)
    request = ErasureRequest(elder=elder, who="eve", memory=memory)
    return cast(Scene, SmallScene(world.settings, installation, request))


@pytest.mark.parametrize("memory", [None, "m1"])
def test_models_and_bundles_of_the_elder_go_and_others_stay(
    world: ExportWorld, memory: str | None
) -> None:
    """Wherever in the home they lie, and whatever they are called."""
    somewhere = world.home / "for-the-family"
    export_model(world.settings, ExportRequest("ada", "hf", folder=somewhere / "weights"), print)
    export_model(world.settings, ExportRequest("ada", "adapter"), print)
    bundle = export_bundle(world.settings, "ada", out=somewhere / "all.zip", key=None)
    import_bundle(world.settings, bundle, out=somewhere / "unpacked", key=None)
    (somewhere / "model.gguf").write_bytes(b"GGUF general.name \x0c ada-11111111 \x00 weights")
    (somewhere / "others.gguf").write_bytes(b"GGUF general.name \x0c adam-11111111 \x00 weights")

    before = scene(world, "adam", memory)
    assert [item.label for item in Exports().items(before)] == [str(somewhere / "others.gguf")]
    of_ada = scene(world, "ada", memory)
    Exports().remove(of_ada)

    left = [path for path in somewhere.rglob("*") if path.is_file()]
    assert left == [somewhere / "others.gguf"]
    assert not [path for path in (world.home / "exports").rglob("*") if path.is_file()]
    assert Exports().items(of_ada) == []


def test_what_a_killed_export_left_is_pruned_and_one_under_way_is_not(world: ExportWorld) -> None:
    left = world.home / "exports" / "elder_companion" / "ada" / ".ada-11111111-hf-abcdefgh"
    busy = left.with_name(".ada-11111111-q8_0-abcdefgh")
    for folder in (left, busy):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
    with in_use(busy):
        pruning = plan_pruning(
            world.store,
            keep_versions=3,
            temporary_s=-1,
            protected=(),
            scratch=scratch_folders(world.home),
        )
        apply_pruning(world.store, pruning)
    assert not left.exists()
    assert busy.exists()
