"""The clock of processes moved by libfaketime, while they run. Debian has it as `libfaketime`."""

import os
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = "usr/lib/*/faketime/libfaketimeMT.so.1"
# What libfaketime 0.9.10 makes of a sleep on the monotonic clock is an invalid argument.
_SLEEP = """
import os, select, time
if "faketime" in os.environ.get("LD_PRELOAD", ""):
    time.sleep = lambda seconds: select.select([], [], [], seconds)[0] and None
"""
NOW, HOUR_BACK, DAY_AHEAD = "+0", "-1h", "+1d"
CLOCKS = (NOW, HOUR_BACK, DAY_AHEAD)


def find_faketime() -> Path | None:
    """The library that moves the clock of a process; None where it is not installed."""
    return next(Path("/").glob(_LIBRARY), None)


def faketime_environment(faketime: Path, folder: Path, *, path: str = "") -> dict[str, str]:
    """The variables of a process whose clock can be moved. The monotonic clock stays as it is, as
    when the clock of a machine is set.

    Args:
        faketime: see `find_faketime`.
        folder: for what makes Python work under it.
        path: PYTHONPATH that the process would have otherwise.
    """
    fixes = folder / "moved-clock"
    fixes.mkdir()
    (fixes / "sitecustomize.py").write_text(_SLEEP, encoding="utf-8")
    return {
        "LD_PRELOAD": str(faketime),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": ":".join(filter(None, (str(fixes), path))),
    }


def move_own_clock(offset: str) -> None:
    """Set the clock of this process, started with `FAKETIME_NO_CACHE`, and of those it starts from
    now on: so far from that of the machine, whatever it was before.
    """
    os.environ["FAKETIME"] = offset


@dataclass(frozen=True)
class SharedClock:
    """The clock of all processes that were started with its `environment`; it is seen within a
    second.

    Args:
        file: holds how far it is off.
    """

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """Beside that of libfaketime."""
        self.move(NOW)
        return {"FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1"}

    def move(self, offset: str) -> None:
        """Set it so far from that of the machine, whatever it was before."""
        self.file.write_text(f"{offset}\n", encoding="ascii")
