"""Where content of an elder lies is listed completely, and nothing of anybody else with it."""

import os
import shutil
import sqlite3
import uuid
from pathlib import Path

import pytest

from agent_assets.errors import MemoryDataError
from agent_assets.mongo.layout import check_elder_id
from agent_assets.pipeline.resume import resume_folder
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import (
    ElderDataLocations,
    agent_logs,
    elder_data_locations,
    erase_locations,
    llm_folder,
    temporary_folders,
    trace_file,
)
from support.artifacts import add_artifact

# Ids that begin alike, or are called like other folders of the store.
ELDERS = ("ada", "ada.b", "ada-2", "train_jsonl", "one", ".llm", "...")


def told(elder: str | None) -> bytes:
    """What an elder told; None: what belongs to all."""
    return f"<<words of {elder}>>".encode()


def build(store: ArtifactStore, key: ArtifactKey, fingerprint: str) -> None:
    add_artifact(store, key, fingerprint, {"rows.jsonl": told(key.partition)})


def logs_of(store: ArtifactStore) -> Path:
    return store.workspace.with_name("logs")


def fill(store: ArtifactStore, pipeline: str, elder: str | None) -> sqlite3.Connection:
    """All that work on one agent may leave: artifacts, a damaged one, a killed build, answers,
    logs, traces.
    """
    key = ArtifactKey(pipeline, "train_jsonl", elder)
    build(store, key, "a" * 32)
    store.set_aside(key, "a" * 32)
    build(store, key, "b" * 32)
    build(store, ArtifactKey(pipeline, "sft_adapter", elder), "c" * 32)
    killed = store.staging(key, "d" * 32)
    staged = killed.__enter__()
    for folder in (staged / "logs", resume_folder(staged) / "rollouts"):
        folder.mkdir(parents=True)
        (folder / "0001.json").write_bytes(told(elder))
    shutil.move(staged, staged.with_name(f"kept-{uuid.uuid4().hex}"))  # the process was killed
    killed.__exit__(None, None, None)
    for folder in (llm_folder(store, pipeline, elder), agent_logs(logs_of(store), pipeline, elder)):
        folder.mkdir(parents=True)
        (folder / "kept").write_bytes(told(elder))
    traces = trace_file(store, pipeline, elder)
    traces.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(traces)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE calls (text)")
    connection.execute("INSERT INTO calls VALUES (?)", (told(elder),))
    connection.commit()  # what was written is in the file beside it
    return connection


def holding(store: ArtifactStore, elder: str | None) -> set[str]:
    """Every file with words of an elder, of this machine and of a remote store."""
    here = [path for folder in (store.workspace, logs_of(store)) for path in folder.rglob("*")]
    files = {str(path): path.read_bytes() for path in here if path.is_file()}
    if not store.local:
        files |= {
            f"remote:{path}": store.filesystem.cat_file(path)
            for path in store.filesystem.find(store.root)
        }
    return {name for name, content in files.items() if told(elder) in content}


def listed(places: ElderDataLocations, files: set[str]) -> set[str]:
    roots = [*map(str, places.local), *(f"remote:{path}" for path in places.remote)]
    return {
        name for name in files if any(name == root or name.startswith(f"{root}/") for root in roots)
    }


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    here = tmp_path / "store"
    root = str(here) if request.param == "local" else f"memory://{uuid.uuid4().hex}/store"
    return ArtifactStore(root, cache=here)


def test_every_place_of_an_elder_is_known(store: ArtifactStore) -> None:
    open_traces = [
        fill(store, pipeline, elder) for pipeline in ("one", "two") for elder in (*ELDERS, None)
    ]
    for elder in ELDERS:
        files = holding(store, elder)
        assert len(files) >= 2 * (8 if store.local else 11), files  # of two pipelines
        assert listed(elder_data_locations(store, logs_of(store), elder), files) == files
        for other in {*ELDERS, None} - {elder}:
            assert (
                listed(elder_data_locations(store, logs_of(store), elder), holding(store, other))
                == set()
            )
    for connection in open_traces:
        connection.close()


def test_removing_what_is_listed_removes_all_of_an_elder_and_nothing_else(
    store: ArtifactStore,
) -> None:
    for pipeline in ("one", "two"):
        for elder in ("ada", "ben", None):
            fill(store, pipeline, elder).close()
    others = holding(store, "ben"), holding(store, None)
    places = elder_data_locations(store, logs_of(store), "ada")
    erase_locations(store, places)
    erase_locations(store, places)
    assert holding(store, "ada") == set()
    assert (holding(store, "ben"), holding(store, None)) == others
    assert elder_data_locations(store, logs_of(store), "ada") == ElderDataLocations((), ())


def test_a_half_done_download_belongs_to_its_elder(tmp_path: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}/store", cache=tmp_path / "store")
    build(store, ArtifactKey("one", "train_jsonl", "ada"), "a" * 32)
    partial = tmp_path / "store" / "one" / "train_jsonl" / "ada" / "aaaaaaaaaaaa-x1y2"
    partial.mkdir()
    (partial / "rows.jsonl").write_bytes(told("ada"))
    assert temporary_folders(store) == [partial]
    assert str(partial / "rows.jsonl") in listed(
        elder_data_locations(store, logs_of(store), "ada"), holding(store, "ada")
    )


@pytest.mark.parametrize("text", ["*", "ad?", "[a]da", "a/b", "_", ".", "..", ""])
def test_no_text_stands_for_other_elders(tmp_path: Path, text: str) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    fill(store, "one", "ada").close()
    with pytest.raises(MemoryDataError):
        check_elder_id(text, "string")
    if os.sep not in text and text not in ("_", ".", "..", ""):
        assert elder_data_locations(store, logs_of(store), text) == ElderDataLocations((), ())
