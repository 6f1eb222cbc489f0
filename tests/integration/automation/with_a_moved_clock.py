"""What `test_moved_clock.py` runs under libfaketime: the clock moves while the process goes on."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_assets.cli.main import commands
from agent_assets.engines.devices.gpu import CPU, lease_device
from agent_assets.erasure.receipts import ReceiptChain
from agent_assets.errors import EngineTimeout
from agent_assets.release.pointer import current_entry, read_ledger
from agent_assets.serving.seals import Seal
from agent_assets.serving.tokens import Denied, Tokens
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.erasable_data import temporary_folders
from agent_assets.store.retention import plan_pruning
from agent_assets.store.tombstones import bury, incarnation_of, is_buried, revive
from support.moved_clock import CLOCKS, DAY_AHEAD, HOUR_BACK, NOW, move_own_clock
from support.receipt_cases import receipt
from support.release_cases import release
from support.town import ADA, Town

MOVES = (HOUR_BACK, DAY_AHEAD, NOW)
AGENT = ("elder_companion", "ada")
DAY = 86_400.0

Run = Callable[..., str]


_BUILDER = """
import sys, time
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
with ArtifactStore(sys.argv[1]).staging(ArtifactKey("p", "a", "e"), "f" * 32) as folder:
    (folder / "rows").write_text("half")
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def building(store: ArtifactStore) -> Iterator[None]:
    """Another process builds an artifact during the block."""
    command = [sys.executable, "-c", _BUILDER, store.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None and builder.stdout.readline()
        yield


@pytest.fixture(autouse=True)
def _now() -> None:
    move_own_clock(NOW)


@pytest.fixture
def run(commanded: Town) -> Run:
    """`agent-assets`, on the town's instant pipeline."""

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(commands, arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        return result.output

    return invoke


def test_the_clock_moves_and_the_time_that_passes_does_not() -> None:
    wall, passed = time.time(), time.monotonic()
    for offset, seconds in ((HOUR_BACK, -3600.0), (DAY_AHEAD, DAY)):
        move_own_clock(offset)
        assert time.time() - wall == pytest.approx(seconds, abs=60)
        assert time.monotonic() - passed < 60


def test_what_was_made_stays_fresh_and_what_changes_is_made(town: Town, run: Run) -> None:
    assert "0 runs failed" in run("refresh")
    for number, offset in enumerate(MOVES):
        move_own_clock(offset)
        assert "Everything is fresh" in run("plan"), offset
        town.clock = datetime.now(UTC)  # who writes down what elders tell has the same clock
        town.tell(ADA, f"I learned to read, and say so for the {number}. time.")
        refreshed = run("refresh")
        assert "1 runs: " in refreshed and "0 runs failed" in refreshed, offset
        run("prune")
    assert "Everything is fresh" in run("plan")


def test_a_build_keeps_its_folder_and_a_run_its_device(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    with building(store), lease_device([CPU], tmp_path, holder="run", timeout_seconds=1):
        for offset in MOVES:
            move_own_clock(offset)
            pruning = plan_pruning(store, keep_versions=1, temporary_s=DAY / 2, protected=())
            assert pruning.folders == () and temporary_folders(store), offset
            with (
                pytest.raises(EngineTimeout, match="No device"),
                lease_device([CPU], tmp_path, holder="other", timeout_seconds=0),
            ):
                pass
        move_own_clock(DAY_AHEAD)
    with lease_device([CPU], tmp_path, holder="other", timeout_seconds=1):
        pass


def test_tokens_and_log_ins_end_by_the_clock_and_no_other_does(mongo_uri: str, town: Town) -> None:
    settings = load_settings({"AGENT_ASSETS_HOME": str(town.folder / "home")})
    short, long, revoked = (
        Tokens(mongo_uri, settings, town.db.name).create("admin", days=days) for days in (0.5, 9, 9)
    )
    ticket = Seal.of(settings).ticket("ada", "ui", 3600)

    def taken(token: str) -> bool:
        try:
            return Tokens(mongo_uri, settings, town.db.name).check(token).scope == "admin"
        except Denied:
            return False

    move_own_clock(HOUR_BACK)
    assert Tokens(mongo_uri, settings, town.db.name).revoke(revoked.split("_")[1])
    for offset in MOVES:
        move_own_clock(offset)
        assert (taken(short), taken(long), taken(revoked)) == (offset != DAY_AHEAD, True, False)
        holds = Seal.of(settings).bearer(ticket, "ui") == "ada"
        assert holds is (offset != DAY_AHEAD), offset


def test_releases_and_tombstones_follow_each_other_whatever_their_times(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    before: str | None = None
    for number, offset in enumerate(MOVES):
        move_own_clock(offset)
        version = f"{number:032x}"
        release(store, version, expected=before)
        entry, before = current_entry(store, AGENT), version
        assert entry is not None and entry.version == version
        assert bury(store, "ben") == number + 1 and is_buried(store, "ben")
        revive(store, "ben")
    history = [entry.version for entry in read_ledger(store, AGENT).history]
    assert history == [f"{number:032x}" for number in range(len(MOVES))]
    assert incarnation_of(store, "ben") == len(MOVES)


def test_receipts_hold(tmp_path: Path) -> None:
    chain = ReceiptChain(tmp_path)
    for offset in CLOCKS:
        move_own_clock(offset)
        chain.append(receipt(f"elder {offset}"))
        assert chain.problems() == []
    assert [receipt.number for receipt in chain.all()] == [1, 2, 3]
