"""The clock of processes moved by libfaketime, while they run. Debian has it as `libfaketime`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_LIBRARY = "usr/lib/*/faketime/libfaketimeMT.so.1"
# What libfaketime 0.9.10 makes of a sleep on the monotonic clock is an invalid argument.
_SLEEP = """
import os, select, time
if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    time.sleep = lambda seconds: select.select([], [], [], seconds)[0] and None
"""
NOW, HOUR_BACK, DAY_AHEAD = "+0", "-1h", "+1d"
CLOCKS = (NOW, HOUR_BACK, DAY_AHEAD)


def find_faketime() -> Path | None:
    """The library that moves the clock of a process; None where it is not installed."""
    return next(Path("/").glob(_LIBRARY), None)


@dataclass(frozen=True)
class MovedClock:
    """The clock of all processes that were started with its environment.

    Args:
        file: holds how far it is off.
    """

    file: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The one that a process with these variables has."""
        return cls(Path(environment["FAKETIME_TIMESTAMP_FILE"]))

    def move(self, offset: str) -> None:
        """To one of `CLOCKS`: so far from the clock of the machine, whatever it was before."""
        self.file.write_text(f"{offset}\n", encoding="ascii")

    def environment(self, faketime: Path, *, path: str = "") -> dict[str, str]:
        """The variables of a process whose clock this is, from its start on. The monotonic clock
        stays as it is, as when the clock of a machine is set.

        Args:
            faketime: see `find_faketime`.
            path: PYTHONPATH that it would have otherwise.
        """
        fixes = self.file.parent / "moved-clock"
        fixes.mkdir(exist_ok=True)
        (fixes / "sitecustomize.py").write_text(_SLEEP, encoding="utf-8")
        self.move(NOW)
        return {
            "LD_PRELOAD": str(faketime),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "PYTHONPATH": ":".join(filter(None, (str(fixes), path))),
        }
