"""The list of released agents: listed once, and again as soon as something changed."""

import os
from pathlib import Path

import pytest

from agent_assets.release.pointer import drop, note_verdict
from agent_assets.release.records import Verdict
from agent_assets.serving import released
from agent_assets.serving.released import HeldBack, NotReleased, Released
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.tombstones import bury
from support.release_cases import release

ADA, BEN = ("elder_companion", "ada"), ("elder_companion", "ben")


def test_folders_are_listed_again_only_when_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(str(tmp_path))
    agents_of_store = Released(store)
    assert agents_of_store.agents() == []
    release(store, "a" * 32)
    assert agents_of_store.agents() == [ADA]
    folder = tmp_path / ".releases" / "current" / "elder_companion"
    os.utime(folder, (1, 1))  # it settled long ago
    assert agents_of_store.agents() == [ADA]
    with monkeypatch.context() as patch:
        patch.setattr(released, "released_agents", lambda _: pytest.fail("listed again"))
        assert agents_of_store.agents() == [ADA]
    release(store, "b" * 32, partition="ben", name="ben-1")
    assert agents_of_store.agents() == [ADA, BEN]
    drop(store, ADA, author="eve", reason="asked to")
    assert agents_of_store.agents() == [BEN]


def test_an_agent_that_is_held_back_says_why_to_those_who_may_know(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    agents_of_store = Released(store)
    verdict = Verdict(
        decision="HOLD",
        reasons=("It remembers 0 of 20 things",),
        candidate="ada-1",
        compared_with="base",
        shared_items=20,
    )
    note_verdict(store, ADA, verdict)
    with pytest.raises(HeldBack, match="held back the new version: It remembers 0 of 20"):
        agents_of_store.find("ada", lambda _: True)
    with pytest.raises(NotReleased):
        agents_of_store.find("ada", lambda agent: agent != ADA)
    release(store, "a" * 32)
    assert agents_of_store.find("ada", lambda _: True).id == "ada"
    drop(store, ADA, author="eve", reason="asked to")  # a person took it out: that is no verdict
    with pytest.raises(NotReleased):
        agents_of_store.find("ada", lambda _: True)
    note_verdict(store, BEN, verdict)
    bury(store, "ben")
    with pytest.raises(NotReleased):
        agents_of_store.find("ben", lambda _: True)


def test_a_folder_that_just_changed_is_not_trusted_yet(tmp_path: Path) -> None:
    """Two changes within one tick of the clock bear the same time."""
    store = ArtifactStore(str(tmp_path))
    agents_of_store = Released(store)
    release(store, "a" * 32)
    folder = tmp_path / ".releases" / "current" / "elder_companion"
    before = folder.stat()
    assert agents_of_store.agents() == [ADA]
    release(store, "b" * 32, partition="ben", name="ben-1")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert agents_of_store.agents() == [ADA, BEN]
