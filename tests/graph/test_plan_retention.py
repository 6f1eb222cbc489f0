"""Old versions go, those in use, released or young stay; temporary folders go when nobody uses
them.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from agent_assets.planning.history import DagsterLog
from agent_assets.planning.recorded import read_latest
from agent_assets.release.kept_versions import released_fingerprints
from agent_assets.release.pointer import move, release_key
from agent_assets.release.records import CANDIDATE_FILE, Candidate, Part
from agent_assets.store.artifact_store import ArtifactKey
from agent_assets.store.erasable_data import versions
from agent_assets.store.retention import Pruning, apply_pruning, plan_pruning
from support.fleet import Fleet

KEY = ArtifactKey("fleet", "elder_memories", "ada")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Four versions of one elder, the first of them in use again."""
    with dg.DagsterInstance.ephemeral() as instance:
        fleet = Fleet(instance, tmp_path)
        fleet.add("ada", "v0")
        for number in (0, 1, 2, 3, 0):
            fleet.world.memories["ada"] = f"v{number}"
            fleet.refresh()
            for version in versions(fleet.store, KEY):  # a day between two versions, the newest now
                manifest = (
                    fleet.folder / "store" / KEY.folder / version.fingerprint / "manifest.json"
                )
                os.utime(manifest, (version.created_at - 86_400, version.created_at - 86_400))
        yield fleet


def chosen(fleet: Fleet, keep: int = 1, **more: Any) -> Pruning:
    facts = [fleet.graph().facts(fleet.elders())]
    latest = read_latest(DagsterLog(fleet.instance), fleet.index, facts)
    protected = {
        (ArtifactKey(pipeline, asset, partition), materialization.fingerprint)
        for (pipeline, asset), by_partition in latest.items()
        for partition, materialization in by_partition.items()
    } | released_fingerprints(fleet.store).references
    return plan_pruning(
        fleet.store, keep_versions=keep, temporary_s=3600, protected=protected, **more
    )


def test_old_versions_go_and_what_is_in_use_stays(fleet: Fleet) -> None:
    pruning = chosen(fleet)
    assert len([version for version in pruning.versions if version.key == KEY]) == 2
    assert pruning.bytes > 0
    assert len(versions(fleet.store, KEY)) == 4  # choosing removes nothing
    apply_pruning(fleet.store, pruning)
    assert len(versions(fleet.store, KEY)) == 2
    fleet.world.built.clear()
    assert fleet.plan().asset_partitions == () and fleet.refresh() == set()
    assert chosen(fleet).versions == ()


def test_enough_versions_are_kept(fleet: Fleet) -> None:
    assert [v for v in chosen(fleet, keep=4).versions if v.key == KEY] == []


def test_a_released_version_stays(fleet: Fleet) -> None:
    old = versions(fleet.store, KEY)[1]
    artifact = fleet.store.find(KEY, old.fingerprint)
    assert artifact is not None
    key = release_key("fleet", "ada")
    candidate = Candidate(
        pipeline="fleet",
        partition="ada",
        name="ada-00000000",
        variant="sft",
        system_prompt="",
        scores={},
        parts={"memories": Part.of(artifact)},
    )
    manifest = artifact.manifest.model_copy(
        update={"asset": "release", "fingerprint": "f" * 32, "files": {}}
    )
    with fleet.store.staging(key, "f" * 32) as folder:
        (folder / CANDIDATE_FILE).write_text(candidate.model_dump_json(), encoding="utf-8")
        fleet.store.commit(key, folder, manifest)
    assert old.fingerprint in {
        v.fingerprint for v in chosen(fleet).versions
    }  # made, but not released yet
    move(
        fleet.store,
        ("fleet", "ada"),
        expected=None,
        version="f" * 32,
        name="ada-00000000",
        action="promote",
        author="test",
        reason="",
        elder="ada",
    )
    assert old.fingerprint not in {v.fingerprint for v in chosen(fleet).versions}


def test_nothing_of_an_elder_in_a_run_goes(fleet: Fleet) -> None:
    assert [v for v in chosen(fleet, busy={"ada"}).versions if v.key.partition == "ada"] == []


def test_temporary_folders_go_when_they_are_old(fleet: Fleet) -> None:
    old, young = (fleet.store.temporary_folder(KEY) / name for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "part.bin").write_bytes(b"x" * 10)
    before = time.time() - 7200
    for path in (old / "part.bin", old):
        os.utime(path, (before, before))
    pruning = chosen(fleet)
    assert pruning.folders == (old,)
    apply_pruning(fleet.store, pruning)
    assert not old.exists() and young.exists()
