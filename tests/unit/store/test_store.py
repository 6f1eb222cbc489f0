"""The artifact store: complete or absent, verified, never lost."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent_assets.errors import CorruptArtifact, StoreError, StoreFull, StoreReadOnly
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from agent_assets.store.erasable_data import temporary_folders
from agent_assets.store.retention import Pruning, apply_pruning, plan_pruning
from agent_assets.store.tombstones import bury, incarnation_of
from support.artifacts import add_artifact

KEY = ArtifactKey("elder_companion", "train_jsonl", "shen-fu")
FINGERPRINT = "f" * 32


def build(
    store: ArtifactStore,
    key: ArtifactKey = KEY,
    fingerprint: str = FINGERPRINT,
    text: str = "row\n",
) -> Artifact:
    files: dict[str, str | bytes] = {
        "train.jsonl": text,
        "logs/engine.log": str(time.time()),
    }
    return add_artifact(
        store, key, fingerprint, files, inputs={"questions": "q"}, config={"seed": 1}
    )


def test_a_committed_artifact_is_found_and_verifies(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    built = build(store)
    artifact = store.find(KEY, FINGERPRINT)
    assert artifact is not None and artifact.manifest == built.manifest
    assert artifact.path == tmp_path / "elder_companion" / "train_jsonl" / "shen-fu" / FINGERPRINT
    assert set(artifact.manifest.files) == {"train.jsonl", "logs/engine.log"}
    store.verify(artifact)
    assert store.versions(KEY) == [FINGERPRINT]


def test_logs_do_not_move_the_data_version_and_content_does(tmp_path: Path) -> None:
    first, two, three = (ArtifactStore(str(tmp_path / name)) for name in "abc")
    assert build(first).manifest.data_version == build(two).manifest.data_version
    assert (
        build(three, text="other\n").manifest.data_version
        != build(first, fingerprint="0" * 32).manifest.data_version
    )


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    with pytest.raises(RuntimeError), store.staging(KEY, FINGERPRINT) as folder:
        (folder / "train.jsonl").write_text("half", encoding="utf-8")
        raise RuntimeError("crash")
    assert store.find(KEY, FINGERPRINT) is None
    assert temporary_folders(store) == []


_BUILDER = """
import sys, time
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
with ArtifactStore(sys.argv[1]).staging(ArtifactKey("p", "a", "e"), "f" * 32) as folder:
    (folder / "rows").write_text("half")
    print(flush=True)
    time.sleep(600)
"""


def test_a_clock_that_jumps_takes_no_folder_from_a_build(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))

    def pruning() -> Pruning:
        tomorrow = time.time() + 25 * 3600
        return plan_pruning(
            store, keep_versions=1, temporary_s=24 * 3600, protected=(), now=tomorrow
        )

    command = [sys.executable, "-c", _BUILDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None and builder.stdout.readline()
        (folder,) = temporary_folders(store)
        assert pruning().folders == ()
        builder.kill()
    abandoned = pruning()
    assert abandoned.folders == (folder,) and apply_pruning(store, abandoned) == 1
    assert not folder.exists()


@pytest.mark.parametrize("damage", ["edited", "removed", "added", "truncated manifest"])
def test_damage_is_detected_and_set_aside(tmp_path: Path, damage: str) -> None:
    store = ArtifactStore(str(tmp_path))
    artifact = build(store)
    if damage == "edited":
        (artifact.path / "train.jsonl").write_text("wor\n", encoding="utf-8")  # the same size
    elif damage == "removed":
        (artifact.path / "train.jsonl").unlink()
    elif damage == "added":
        (artifact.path / "extra.txt").write_text("x", encoding="utf-8")
    else:
        (artifact.path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(CorruptArtifact, match="Next: materialize"):
        store.verify(store.find(KEY, FINGERPRINT) or artifact)
    aside = store.set_aside(KEY, FINGERPRINT)
    assert (aside / "manifest.json").exists() and store.find(KEY, FINGERPRINT) is None
    assert build(store).path.is_dir()


def test_builders_of_one_fingerprint_take_turns_and_leave_no_locks(tmp_path: Path) -> None:
    order: list[str] = []

    def builder(name: str) -> None:
        store = ArtifactStore(str(tmp_path))
        with store.staging(KEY, FINGERPRINT):
            order.append(f"{name} in")
            time.sleep(0.02)
            order.append(f"{name} out")

    threads = [threading.Thread(target=builder, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Nobody's turn begins before that of another has ended, also for who waited for a lock file
    # that is gone by then.
    assert [step.split()[1] for step in order] == ["in", "out"] * 8
    assert list((tmp_path / ".locks").iterdir()) == []


def test_another_pipelines_identical_build_is_adopted(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    base = ArtifactKey("energy_expert", "base_model")
    original = build(store, key=base)
    mine = ArtifactKey("elder_companion", "base_model")
    adopted = store.adopt(mine, FINGERPRINT)
    assert adopted is not None and adopted.manifest.pipeline == "elder_companion"
    assert adopted.manifest.data_version == original.manifest.data_version
    store.verify(adopted)
    assert store.adopt(ArtifactKey("elder_companion", "base_model", "shen-fu"), FINGERPRINT) is None


def test_a_remote_store_is_complete_only_with_its_manifest(tmp_path: Path) -> None:
    store = ArtifactStore("memory://bucket/one", cache=tmp_path / "cache-1")
    build(store)
    elsewhere = ArtifactStore("memory://bucket/one", cache=tmp_path / "cache-2")
    artifact = elsewhere.find(KEY, FINGERPRINT)
    assert artifact is not None
    elsewhere.verify(artifact)
    assert artifact.path.is_relative_to(tmp_path / "cache-2")
    assert elsewhere.versions(KEY) == [FINGERPRINT]
    import fsspec

    fsspec.filesystem("memory").rm(f"/bucket/one/{KEY.folder}/{FINGERPRINT}/manifest.json")
    assert (
        ArtifactStore("memory://bucket/one", cache=tmp_path / "cache-3").find(KEY, FINGERPRINT)
        is None
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_says_so_and_keeps_what_was_there(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this machine cannot mount a tmpfs")
    try:
        store = ArtifactStore(str(small))
        artifact = build(store)
        with pytest.raises(StoreFull, match="Next: free space"):
            build(store, fingerprint="e" * 32, text="x" * 1_000_000)
        store.verify(artifact)
        assert store.versions(KEY) == [FINGERPRINT]
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_a_read_only_disk_says_so_and_still_answers(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine cannot mount a tmpfs")
    try:
        store = ArtifactStore(str(folder))
        artifact = build(store)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.raises(StoreReadOnly, match="Next: mount it writable"):
            build(store, fingerprint="e" * 32)
        with pytest.raises(StoreReadOnly):
            bury(store, "shen-fu")
        found = store.find(KEY, FINGERPRINT)
        assert found is not None and found.manifest == artifact.manifest
        assert incarnation_of(store, "shen-fu") == 0
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_killed_builder_frees_the_turn(tmp_path: Path) -> None:
    code = (
        "import sys, time; from agent_assets.store.artifact_store import *\n"
        f"store = ArtifactStore({str(tmp_path)!r})\n"
        f"with store.staging(ArtifactKey('elder_companion', 'train_jsonl', 'shen-fu'), "
        f"{FINGERPRINT!r}):\n"
        "    print('in', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "in\n"
    holder.kill()
    holder.wait()
    assert build(ArtifactStore(str(tmp_path))).path.is_dir()


def test_no_artifact_holds_a_pickle(tmp_path: Path) -> None:
    """Servers would load it: vLLM takes adapter_model.bin where it finds no safetensors."""
    store = ArtifactStore(str(tmp_path))
    with pytest.raises(StoreError, match=r"adapter_model\.bin, a pickle"):
        add_artifact(store, KEY, FINGERPRINT, {"adapter_model.bin": b"\x80\x02."})
    assert store.versions(KEY) == []
