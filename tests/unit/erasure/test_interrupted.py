"""An erasure that is killed between any two steps is finished by the next start, with one receipt
that says what was there at first.
"""

import signal
import subprocess
import sys
from pathlib import Path

from agent_assets.erasure.journal import ErasureJournal
from agent_assets.erasure.receipts import ReceiptChain
from support import killed_erasure

STEPS = 3 * len(killed_erasure.PLACES) + 3


def small_home(folder: Path) -> Path:
    for place in ("first", "second", "third"):
        (folder / place).mkdir(parents=True)
        for elder in ("eleanor", "ben"):
            (folder / place / f"{elder}.txt").write_text(f"{elder} in {place}")
            (folder / place / f"{elder}-2").mkdir()
            (folder / place / f"{elder}-2" / "more.txt").write_text(elder)
    return folder


def left(home: Path, name: str) -> dict[str, bytes]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return {
        str(path): path.read_bytes()
        for path in files
        if name in str(path.relative_to(home)) or name.encode() in path.read_bytes()
    }


def test_killed_after_any_step_it_is_finished_by_the_next_start(tmp_path: Path) -> None:
    for steps in range(STEPS + 1):
        home = small_home(tmp_path / str(steps))
        others = left(home, "ben")
        killed = subprocess.run(
            [sys.executable, str(Path(killed_erasure.__file__)), str(home), str(steps)],
            check=False,
        )
        assert killed.returncode == (-signal.SIGKILL if steps < STEPS else 0)
        finished = ReceiptChain(home).all() and not ErasureJournal(home).pending()
        if not finished:
            killed_erasure.erase(home)
        (receipt,) = ReceiptChain(home).all()
        assert [found.count for found in receipt.places.values()] == [2, 2, 2], steps
        assert receipt.out_of_reach == ("copies of first", "copies of second", "copies of third")
        assert ReceiptChain(home).problems() == [] and ErasureJournal(home).pending() == []
        assert left(home, "eleanor") == {} and left(home, "ben") == others
