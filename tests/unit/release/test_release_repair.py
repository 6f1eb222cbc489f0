"""A pointer or tombstone that is lost or damaged is read from its history at once, and written anew
by `repair`; nothing that was erased or dropped comes back.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.cli import main
from agent_assets.cli.doctor.examine import examine
from agent_assets.cli.main import commands
from agent_assets.errors import CorruptArtifact, ReleaseError, StoreError, StoreFull
from agent_assets.release.elder_releases import erase_releases
from agent_assets.release.kept_versions import released_fingerprints
from agent_assets.release.pointer import (
    CURRENT,
    DROPPED,
    current_entry,
    damaged_releases,
    drop,
    move,
    note_verdict,
    pointer_path,
    read_ledger,
    released_agents,
)
from agent_assets.release.records import Verdict, read_candidate
from agent_assets.release.repair import repair_store
from agent_assets.release.rollback import roll_back_release
from agent_assets.serving.released import Released
from agent_assets.settings import load_settings
from agent_assets.store import small_files
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.tombstones import UNREADABLE, bury, incarnation_of, incarnations, revive
from support.release_cases import add_release, release

ADA = ("elder_companion", "ada")
BOB = ("elder_companion", "bob")
A, B, C = "a" * 32, "b" * 32, "c" * 32
HISTORY = ".releases/history/elder_companion/ada.jsonl"
STONE, STONE_HISTORY = ".tombstones/ada.json", ".tombstones/ada.jsonl"


@pytest.fixture(params=["disk", "object store"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> ArtifactStore:
    if request.param == "disk":
        return ArtifactStore(str(tmp_path / "store"))
    return ArtifactStore(f"memory://{tmp_path.name}", cache=tmp_path / "cache")


def write(store: ArtifactStore, name: str, content: bytes) -> None:
    store.filesystem.pipe_file(f"{store.root}/{name}", content)


def read(store: ArtifactStore, name: str) -> bytes:
    return bytes(store.filesystem.cat_file(f"{store.root}/{name}"))


def verdict(candidate: str) -> Verdict:
    return Verdict(
        decision="HOLD", reasons=("luck",), candidate=candidate, compared_with="x", shared_items=1
    )


@pytest.mark.parametrize("damage", ["lost", "half", "empty"])
def test_a_pointer_comes_back_as_it_was(store: ArtifactStore, damage: str) -> None:
    release(store, A)
    release(store, B, expected=A)
    for number in range(25):  # more than a ledger keeps
        note_verdict(store, ADA, verdict(f"{number:032x}"))
    roll_back_release(store, ADA, to=None, author="eve", reason="rude")
    path = pointer_path(store, ADA, CURRENT)
    before, ledger = store.filesystem.cat_file(path), read_ledger(store, ADA)
    if damage == "lost":
        store.filesystem.rm_file(path)
    else:
        store.filesystem.pipe_file(path, before[:40] if damage == "half" else b"")
    assert read_ledger(store, ADA) == ledger  # it answers as before, at once
    assert list(damaged_releases(store)) == [ADA]
    assert {name for _, name in released_fingerprints(store).references} == {A, B}
    (repair,) = repair_store(store)
    assert repair.done and "release pointer of elder_companion/ada" in repair.what
    assert store.filesystem.cat_file(path) == before
    assert damaged_releases(store) == {} and repair_store(store) == []
    aside = store.filesystem.glob(f"{store.root}/.corrupt/*/release_pointer/ada/*")
    assert len(aside) == (damage != "lost")  # nothing is deleted


def test_what_was_dropped_stays_dropped(store: ArtifactStore) -> None:
    release(store, A)
    drop(store, ADA, author="eve", reason="asked to")
    store.filesystem.rm_file(pointer_path(store, ADA, DROPPED))
    assert current_entry(store, ADA) is None
    repair_store(store)
    assert released_agents(store) == [] and len(read_ledger(store, ADA).history) == 2


def test_a_changed_line_of_the_history_is_never_followed(store: ArtifactStore) -> None:
    """Half a history could let answer what was rolled back for good reason."""
    release(store, A)
    release(store, B, expected=A)
    roll_back_release(store, ADA, to=None, author="eve", reason="rude")
    lines = read(store, HISTORY).splitlines(keepends=True)
    assert len(lines) == 3
    for damaged in (
        lines[0] + lines[2],  # a line is gone
        lines[0] + lines[1].replace(b"gate", b"evil") + lines[2],
        lines[1] + lines[0] + lines[2],
        lines[0] + b"\xff" * 20 + b"\n" + lines[2],
    ):
        write(store, HISTORY, damaged)
        store.filesystem.mv(pointer_path(store, ADA, CURRENT), f"{store.root}/kept")
        with pytest.raises(ReleaseError, match=r"Line [12] of the history"):
            read_ledger(store, ADA)
        assert [repair.done for repair in repair_store(store)] == [False]
        store.filesystem.mv(f"{store.root}/kept", pointer_path(store, ADA, CURRENT))
        assert [repair.done for repair in repair_store(store)] == [True]  # begun anew
        write(store, HISTORY, b"".join(lines))


def test_a_line_that_was_cut_off_does_not_count(store: ArtifactStore) -> None:
    release(store, A)
    whole = read(store, HISTORY)
    write(store, HISTORY, whole + b"0123 {")
    assert repair_store(store) == []
    release(store, B, expected=A)
    store.filesystem.rm_file(pointer_path(store, ADA, CURRENT))
    entry = current_entry(store, ADA)
    assert entry is not None and entry.version == B
    assert read(store, HISTORY).startswith(whole)


def test_a_move_that_was_cut_off_before_the_pointer_moved(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(store, A)
    add_release(store, B)
    own = {"name": "b", "action": "promote", "author": "gate", "reason": "", "elder": "ada"}
    full = StoreFull("No space left.", next_step="free space")
    with monkeypatch.context() as patch:
        patch.setattr(
            "agent_assets.release.pointer.replace_file",
            lambda *_: (_ for _ in ()).throw(full),
        )
        with pytest.raises(StoreFull):
            move(store, ADA, expected=A, version=B, **own)  # type: ignore[arg-type]
    entry = current_entry(store, ADA)
    assert entry is not None and entry.version == A  # the file is what counts while it is there
    move(store, ADA, expected=A, version=B, **own)  # type: ignore[arg-type]
    store.filesystem.rm_file(pointer_path(store, ADA, CURRENT))
    assert [entry.version for entry in read_ledger(store, ADA).history] == [A, B]


def test_a_lost_tombstone_brings_nothing_back(store: ArtifactStore) -> None:
    release(store, A)
    bury(store, "ada")
    revive(store, "ada")
    for damage in (None, b"", b'{"generation": 0'):
        if damage is None:
            store.filesystem.rm_file(f"{store.root}/{STONE}")
        else:
            write(store, STONE, damage)
        assert incarnation_of(store, "ada") == 1 and incarnations(store) == {"ada": 1}
        assert current_entry(store, ADA) is None
        assert [repair.done for repair in repair_store(store)] == [True]
        assert read(store, STONE) == b'{"generation":1,"buried":false}'
    assert bury(store, "ada") == 2


def test_a_tombstone_that_is_lost_with_its_history_damaged_is_unreadable(
    store: ArtifactStore,
) -> None:
    bury(store, "ada")
    bury(store, "bob")
    write(store, STONE_HISTORY, b"0 {}\n")
    assert incarnation_of(store, "ada") == 1  # the tombstone itself is whole
    store.filesystem.rm_file(f"{store.root}/{STONE}")
    assert incarnations(store) == {"ada": UNREADABLE, "bob": 1}
    with pytest.raises(StoreError, match="ada was removed before cannot be read"):
        incarnation_of(store, "ada")
    assert [repair.done for repair in repair_store(store)] == [False]


def test_a_home_of_the_version_before_gets_its_histories(store: ArtifactStore) -> None:
    release(store, A)
    bury(store, "bob")
    store.filesystem.rm(f"{store.root}/.releases/history", recursive=True)
    store.filesystem.rm_file(f"{store.root}/.tombstones/bob.jsonl")
    done = repair_store(store)
    assert [repair.how for repair in done] == ["begun anew"] * 2 and repair_store(store) == []
    store.filesystem.rm_file(pointer_path(store, ADA, CURRENT))
    store.filesystem.rm_file(f"{store.root}/.tombstones/bob.json")
    entry = current_entry(store, ADA)
    assert entry is not None and entry.version == A and incarnation_of(store, "bob") == 1


def test_an_erasure_leaves_no_line_of_a_history(store: ArtifactStore) -> None:
    """Of a copy as well, and of damaged files that were set aside."""
    release(store, A)
    copied = {"version": A, "name": "ada-aaaaaaaa", "author": "eve", "reason": "twins"}
    move(store, BOB, expected=None, action="copy", elder="ada", **copied)  # type: ignore[arg-type]
    add_release(store, B, name="bob-bbbbbbbb", partition="bob")
    own = {"version": B, "name": "bob-bbbbbbbb", "author": "gate", "reason": "passed"}
    move(store, BOB, expected=A, action="promote", elder="bob", **own)  # type: ignore[arg-type]
    path = pointer_path(store, BOB, CURRENT)
    store.filesystem.pipe_file(path, store.filesystem.cat_file(path)[:-60])
    repair_store(store)
    assert erase_releases(store, "ada") == 2
    for folder in (".releases", ".corrupt"):
        for file in store.filesystem.find(f"{store.root}/{folder}"):
            assert b'"ada"' not in store.filesystem.cat_file(file), file
    assert read_ledger(store, ADA).history == ()
    entry = current_entry(store, BOB)
    assert entry is not None and entry.version == B


def test_a_damaged_candidate_is_one_elders_trouble(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    release(store, A)
    release(store, B, partition="bob", name="bob-bbbbbbbb")
    (file,) = Path(store.root).rglob(f"{A}/candidate.json")
    file.write_bytes(b"{")
    with pytest.raises(CorruptArtifact, match=r"candidate\.json of the release artifact"):
        read_candidate(file.parent)
    released = Released(store)
    with pytest.raises(CorruptArtifact):
        released.find("ada", lambda _: True)
    assert released.damaged == {ADA} and released.find("bob", lambda _: True).id == "bob"
    kept = released_fingerprints(store)  # pruning goes on, and takes nothing of ada's
    assert kept.unknown == {"ada"} and {name for _, name in kept.references} == {B}


def test_a_full_disk_says_so_whatever_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(str(tmp_path))
    release(store, A)
    bury(store, "bob")

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(small_files, "sync", no_space)
    monkeypatch.setattr("os.fsync", no_space)
    writers: list[Callable[[], object]] = [
        lambda: drop(store, ADA, author="eve", reason=""),
        lambda: bury(store, "eve"),
        lambda: revive(store, "bob"),
    ]
    for write_something in writers:
        with pytest.raises(StoreFull, match="No space left"):
            write_something()
    monkeypatch.undo()
    assert current_entry(store, ADA) is not None


def test_the_commands_say_what_is_damaged_and_what_to_do(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    release(store, A)
    bury(store, "eve")
    Path(pointer_path(store, ADA, CURRENT)).write_bytes(b"{")
    home = {"AGENT_ASSETS_HOME": str(tmp_path), "AGENT_ASSETS_ENGINES": str(tmp_path)}
    findings = {finding.name: finding for finding in examine(load_settings(home))}
    assert findings["release elder_companion/ada"].fix == "`agent-assets repair` writes it anew."
    environment = {"AGENT_ASSETS_HOME": str(tmp_path)}
    for output, code in (
        ("repaired release pointer of elder_companion/ada: written anew from its history\n", 0),
        ("Every release pointer and tombstone is whole.\n", 0),
    ):
        done = CliRunner().invoke(commands, ["repair"], env=environment, catch_exceptions=False)
        assert done.output.startswith(output) and done.exit_code == code
    findings = {finding.name: finding for finding in examine(load_settings(home))}
    assert "1 damaged files" in findings["damaged"].detail and findings["damaged"].ok
    Path(tmp_path / "store" / STONE.replace("ada", "eve")).write_bytes(b"")
    Path(tmp_path / "store" / STONE_HISTORY.replace("ada", "eve")).write_bytes(b"x\n")
    done = CliRunner().invoke(commands, ["repair"], env=environment, catch_exceptions=False)
    assert done.exit_code == 1 and "DAMAGED  tombstone of eve" in done.output


def test_a_full_disk_is_a_line_for_who_types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/home/x")

    monkeypatch.setattr(main, "commands", full)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1 and "No space left" in capsys.readouterr().err


def test_a_history_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_assets.release.pointer_history._MOST_LINES", 5)
    store = ArtifactStore(str(tmp_path))
    release(store, A)
    for number in range(12):
        note_verdict(store, ADA, verdict(f"{number:032x}"))
        assert len(read(store, HISTORY).splitlines()) <= 5
        assert repair_store(store) == []
