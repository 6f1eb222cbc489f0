"""Released agents: listed, looked at, copied, exported, deleted."""

import io
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_assets.store.artifact_store import Artifact
from agent_assets.store.tombstones import bury
from support.serving_world import MERGED, PIPELINE, World, problem, running_api


def test_models_are_listed_looked_at_copied_exported_and_deleted(world: World) -> None:
    client = world.client
    page = client.get("/models", params={"limit": 1}).json()
    assert (
        page["total"] == 2
        and page["models"][0]["name"] == "ada-00000001"
        and page["models"][0]["size"] == 1234
    )
    details = client.get("/models/ada").json()["details"]
    assert details["lineage"]["memories"]["memories"] == 1 and details["scores"] == {
        "recall_open": 0.5
    }
    with tarfile.open(fileobj=io.BytesIO(client.get("/models/ada/export").content)) as archive:
        assert archive.getnames() == ["weights.safetensors"]
    merged = client.get("/models/ada/export", params={"form": "merged"})
    assert merged.headers["content-disposition"] == 'attachment; filename="ada-00000001-merged.tar"'
    with tarfile.open(fileobj=io.BytesIO(merged.content)) as archive:
        files = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    assert files == MERGED
    path = client.get("/export-jsonl/ada").json()["jsonl_path"]
    assert Path(path).is_file()
    assert client.post("/models/ada/copy", json={"to": "grandma"}).json()["success"]
    assert world.chat(elder="grandma").json()["model_name"] == "ada-00000001"
    assert client.post("/models/ada/copy", json={"to": "ben"}).status_code == 409
    assert client.delete("/models/ada").json()["success"]
    assert (world.chat().status_code, client.delete("/models/ada").status_code) == (404, 404)
    assert world.chat(elder="grandma").status_code == 200
    bury(world.store, "ada")
    assert world.chat(elder="grandma").status_code == 404


def test_a_damaged_merged_model_is_not_exported(world: World) -> None:
    folder = next(Path(world.store.root).glob(f"{PIPELINE}/merged_model/ada/*"))
    (folder / "model.safetensors").write_text("other weights", encoding="utf-8")
    damaged = world.client.get("/models/ada/export", params={"form": "merged"})
    assert "differs from its manifest" in problem(damaged, 503)["detail"]
    assert world.client.get("/models/ada/export").status_code == 200


def test_model_names_bear_the_prefix_of_the_configuration_and_are_found_with_and_without_it(
    world: World,
) -> None:
    config = world.services.config.model_copy(update={"model_prefix": "afs_elder_"})
    with running_api(world.settings, config) as (client, _):
        body = {"elder_id": "ada", "message": "Hi"}
        assert client.post("/chat", json=body).json()["model_name"] == "afs_elder_ada-00000001"
        names = [model["name"] for model in client.get("/models").json()["models"]]
        assert names == ["afs_elder_ada-00000001", "afs_elder_ben-00000002"]
        for name in (*names[:1], "afs_elder_ada", "ada", "ada-00000001"):
            details = client.get(f"/models/{name}").json()
            assert (details["elder_id"], details["name"]) == ("ada", names[0])


def test_an_export_that_loses_a_file_fails_on_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was whole when the download began: what came is less than was announced."""
    folder = next(Path(world.store.root).glob(f"{PIPELINE}/merged_model/ada/*"))
    lost = folder / "tokenizer.json"
    whole = lost.read_bytes()
    found = world.services.released.part

    def found_and_then(change: Callable[[], object]) -> Callable[..., Artifact]:
        def part(*arguments: Any) -> Artifact:
            artifact: Artifact = found(*arguments)
            change()
            return artifact

        return part

    for change in (lost.unlink, partial(lost.write_bytes, b"[]"), partial(lost.write_bytes, b"")):
        monkeypatch.setattr(world.services.released, "part", found_and_then(change))
        with pytest.raises(httpx.RemoteProtocolError):
            world.client.get("/models/ada/export", params={"form": "merged"})
        lost.write_bytes(whole)
    monkeypatch.undo()
    again = world.client.get("/models/ada/export", params={"form": "merged"})
    assert again.status_code == 200
    assert int(again.headers["content-length"]) == len(again.content)
