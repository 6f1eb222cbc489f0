"""The pointer moves in one step, remembers everything, and never because of somebody who was wrong
about it.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.errors import ReleaseConflict, ReleaseError, StoreError
from agent_assets.release.elder_releases import agents_of_elder, erase_releases
from agent_assets.release.kept_versions import released_fingerprints
from agent_assets.release.pointer import (
    CURRENT,
    current_entry,
    damaged_releases,
    drop,
    move,
    note_verdict,
    pointer_path,
    read_ledger,
    released_agents,
)
from agent_assets.release.pointer_history import forget_agent
from agent_assets.release.records import Verdict
from agent_assets.release.rollback import roll_back_release, rolled_back
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.tombstones import UNREADABLE, bury, incarnation_of, incarnations, revive
from support.release_cases import add_release, release

ADA = ("elder_companion", "ada")
A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def answering(store: ArtifactStore) -> str | None:
    entry = current_entry(store, ADA)
    return None if entry is None else entry.version


def test_rollback_goes_back_step_by_step_and_history_stays(store: ArtifactStore) -> None:
    release(store, A)
    release(store, B, expected=A)
    release(store, C, expected=B)
    assert roll_back_release(store, ADA, to=None, author="eve", reason="rude").version == B
    assert roll_back_release(store, ADA, to=None, author="eve", reason="rude").version == A
    with pytest.raises(ReleaseError, match="no earlier release"):
        roll_back_release(store, ADA, to=None, author="eve", reason="")
    assert (
        roll_back_release(store, ADA, to="ccc", author="eve", reason="on second thought").version
        == C
    )
    actions = [entry.action for entry in read_ledger(store, ADA).history]
    assert actions == ["promote"] * 3 + ["rollback"] * 3
    ledger = read_ledger(store, ADA)
    assert rolled_back(ledger, C) is None and "eve" in str(rolled_back(ledger, B))


def test_of_two_promotions_at_once_one_wins(store: ArtifactStore) -> None:
    release(store, A)
    versions = [f"{number:032x}" for number in range(1, 9)]
    for version in versions:
        add_release(store, version)

    def promote(version: str) -> bool:
        try:
            move(
                ArtifactStore(store.root),
                ADA,
                expected=A,
                version=version,
                name="x",
                action="promote",
                author="gate",
                reason="",
                elder="ada",
            )
        except ReleaseConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [
            version
            for version, done in zip(versions, pool.map(promote, versions), strict=True)
            if done
        ]
    assert [answering(store)] == won
    assert len(read_ledger(store, ADA).history) == 2


def test_a_version_that_is_not_there_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(ReleaseError, match="not in the store"):
        move(
            store,
            ADA,
            expected=None,
            version=A,
            name="x",
            action="promote",
            author="a",
            reason="",
            elder="ada",
        )
    assert released_agents(store) == []


def test_a_dropped_release_does_not_answer_and_can_come_back(store: ArtifactStore) -> None:
    release(store, A)
    assert drop(store, ADA, author="eve", reason="asked to") is True
    assert (answering(store), released_agents(store)) == (None, [])
    assert drop(store, ADA, author="eve", reason="again") is False
    assert roll_back_release(store, ADA, to=None, author="eve", reason="").version == A
    assert released_agents(store) == [ADA]


def test_nothing_of_a_removed_elder_answers_or_comes_back(store: ArtifactStore) -> None:
    release(store, A)
    release(store, B, expected=A)
    bury(store, "ada")
    assert answering(store) is None
    revive(store, "ada")
    with pytest.raises(ReleaseError, match="removed"):
        roll_back_release(store, ADA, to=None, author="eve", reason="")
    verdict = Verdict(
        decision="HOLD", reasons=("luck",), candidate=A, compared_with="x", shared_items=1
    )
    note_verdict(store, ADA, verdict)
    with pytest.raises(ReleaseError, match="was removed since version aaaaaaaa was made"):
        run(store, "promote", "ada", "aaa", "--reason", "please")
    assert answering(store) is None
    assert erase_releases(store, "ada") == 1
    assert read_ledger(store, ADA).history == ()


def test_a_candidate_from_before_generations_were_kept_goes_by_its_release(
    store: ArtifactStore,
) -> None:
    bury(store, "ada")
    revive(store, "ada")
    release(store, A, incarnation=1)
    release(store, B, expected=A, incarnation=1)
    add_release(store, C, incarnation=None)
    for version in (A, B):
        (candidate_file,) = Path(store.root).rglob(f"{version}/candidate.json")
        content = json.loads(candidate_file.read_text(encoding="utf-8"))
        candidate_file.write_text(
            json.dumps({key: value for key, value in content.items() if key != "generation"})
        )
    assert roll_back_release(store, ADA, to=None, author="eve", reason="").version == A
    with pytest.raises(ReleaseError, match="removed since"):  # never released in this incarnation
        move(
            store,
            ADA,
            expected=A,
            version=C,
            name="c",
            action="promote",
            author="e",
            reason="r",
            elder="ada",
        )


def test_who_was_a_copy_once_keeps_a_release_of_their_own(store: ArtifactStore) -> None:
    bob = ("elder_companion", "bob")
    release(store, A)
    copied = {
        "version": A,
        "name": "ada-aaaaaaaa",
        "author": "eve",
        "reason": "twins",
        "elder": "ada",
    }
    move(store, bob, expected=None, action="copy", **copied)  # type: ignore[arg-type]
    add_release(store, B, name="bob-bbbbbbbb", partition="bob")
    own = {
        "version": B,
        "name": "bob-bbbbbbbb",
        "author": "gate",
        "reason": "passed",
        "elder": "bob",
    }
    move(store, bob, expected=A, action="promote", **own)  # type: ignore[arg-type]
    verdict = Verdict(
        decision="PROMOTE", reasons=(), candidate=B, compared_with="ada-aaaaaaaa", shared_items=1
    )
    note_verdict(store, bob, verdict)
    assert agents_of_elder(store, "ada") == {ADA: True, bob: False}
    assert erase_releases(store, "ada") == 2
    ledger = read_ledger(store, bob)
    assert ledger.current is not None and ledger.current.version == B
    assert [entry.name for entry in ledger.history] == ["bob-bbbbbbbb"] and ledger.verdicts == ()


def test_current_and_recent_releases_keep_their_artifacts(store: ArtifactStore) -> None:
    release(store, A)
    release(store, B, expected=A)
    release(store, C, expected=B)
    assert {fingerprint for _, fingerprint in released_fingerprints(store, keep=1).references} == {
        C,
        B,
    }


def test_a_pointer_that_cannot_be_read_is_an_error_with_its_path(store: ArtifactStore) -> None:
    release(store, A)
    path = Path(store.root) / ".releases/current/elder_companion/ada.json"
    path.write_text("{", encoding="utf-8")
    forget_agent(store, ADA)
    with pytest.raises(ReleaseError) as caught:
        current_entry(store, ADA)
    assert str(path) in str(caught.value.next_step)


def run(store: ArtifactStore, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        commands, arguments, env={"AGENT_ASSETS_STORE": store.root}, catch_exceptions=False
    )
    return done.exit_code, done.output


def test_the_commands(store: ArtifactStore) -> None:
    release(store, A)
    release(store, B, expected=A)
    add_release(store, C)
    verdict = Verdict(
        decision="HOLD", reasons=("luck",), candidate=C, compared_with="x", shared_items=1
    )
    note_verdict(store, ADA, verdict)
    code, text = run(store, "releases")
    assert code == 0 and "elder_companion/ada  ada-bbbbbbbb" in text and "1 agents released" in text
    assert "judged cccccccc: HOLD: luck" in run(store, "releases", "ada")[1]
    code, text = run(store, "rollback", "ada", "--author", "eve", "--reason", "rude")
    assert code == 0 and answering(store) == A
    assert (
        run(store, "promote", "ada", "ccc", "--author", "eve", "--reason", "I read the answers")[0]
        == 0
    )
    assert answering(store) == C
    code, text = run(store, "promote", "ada", "ccc", "--reason", "again")
    assert code == 0 and "answers with ada-cccccccc already" in text
    with pytest.raises(ReleaseError, match="needs a reason"):
        run(store, "promote", "ada", "ccc", "--reason", " ")
    entry = read_ledger(store, ADA).history[-1]
    assert (entry.action, entry.author, entry.reason) == ("override", "eve", "I read the answers")
    assert json.loads(run(store, "releases", "--json")[1])[0]["current"]["version"] == C


def test_a_rollback_loads_no_dagster(store: ArtifactStore) -> None:
    release(store, A)
    release(store, B, expected=A)
    code = (
        "import sys\nfrom agent_assets.cli.main import commands\n"
        "try:\n commands(['rollback', 'ada'])\n"
        "except SystemExit as end:\n assert end.code == 0, end.code\n"
        "assert 'dagster' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"AGENT_ASSETS_STORE": store.root, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert answering(store) == A


def add_bob(store: ArtifactStore) -> tuple[str, str]:
    bob = ("elder_companion", "bob")
    add_release(store, B, name="bob-bbbbbbbb", partition="bob")
    own = {"name": "bob-bbbbbbbb", "author": "gate", "reason": "passed", "elder": "bob"}
    move(store, bob, expected=None, version=B, action="promote", **own)  # type: ignore[arg-type]
    return bob


def test_a_damaged_pointer_is_one_elders_trouble(store: ArtifactStore) -> None:
    release(store, A)
    bob = add_bob(store)
    path = pointer_path(store, bob, CURRENT)
    store.filesystem.pipe_file(path, store.filesystem.cat_file(path)[:40])
    forget_agent(store, bob)
    (why,) = damaged_releases(store).values()
    assert "bob cannot be read" in why and f"restore {path}" in why
    code, output = run(store, "releases")
    assert code == 0 and "ada-aaaaaaaa  version aaaaaaaa" in output and path in output
    assert "1 agents released, 1 cannot be read" in output
    assert erase_releases(store, "ada") == 1  # somebody else's damage does not stop it
    assert erase_releases(store, "bob") == 1
    assert damaged_releases(store) == {} and released_agents(store) == []


def test_a_damaged_record_of_somebody_else_goes_with_the_elder_it_names(
    store: ArtifactStore,
) -> None:
    bob = add_bob(store)
    forget_agent(store, bob)
    store.filesystem.pipe_file(pointer_path(store, bob, CURRENT), b'{"elder": "ada", "vers')
    assert agents_of_elder(store, "ada") == {bob: True}


def test_a_damaged_tombstone_is_one_elders_trouble(store: ArtifactStore) -> None:
    release(store, A)
    bob = add_bob(store)
    for elder in ("ada", "eve"):
        bury(store, elder)
        revive(store, elder)
    store.filesystem.pipe_file(f"{store.root}/.tombstones/ada.json", b"{")
    store.filesystem.rm_file(f"{store.root}/.tombstones/ada.jsonl")
    assert incarnations(store) == {"ada": UNREADABLE, "eve": 1}
    with pytest.raises(StoreError, match="ada was removed before cannot be read"):
        incarnation_of(store, "ada")
    assert list(damaged_releases(store)) == [ADA]  # nothing that was erased comes back
    assert current_entry(store, bob) is not None
