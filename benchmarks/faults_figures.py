"""The command line of `faults.py`, and what it counts."""

import argparse
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from plan import machine


@dataclass(frozen=True)
class Options:
    """What is broken, and how often."""

    quick: bool
    seed: int
    chains: int
    clock: bool


def options(description: str | None) -> Options:
    """Those of the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small chain and seven kills")
    parser.add_argument("--seed", type=int, default=16, help="of the moments, default 16")
    parser.add_argument("--chains", type=int, default=5, help="of ten kills each, default 5")
    parser.add_argument("--clock", action="store_true", help="move the clock in every chain")
    given = parser.parse_args()
    return Options(given.quick, given.seed, 1 if given.quick else given.chains, given.clock)


@dataclass
class Figures:
    """What is counted over all chains."""

    killed: Counter[str] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    orphans: list[str] = field(default_factory=list)
    stale_leases: list[str] = field(default_factory=list)
    open_runs: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    left_files: list[str] = field(default_factory=list)
    recover_s: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> int:
        """Since the beginning."""
        return round(time.monotonic() - self.started)

    def report(self, line: str) -> None:
        """Print what happened, and when."""
        print(f"{self.seconds:5d} s  {line}", flush=True)


def differences(
    unbroken: dict[str, dict[str, str]], broken: dict[str, dict[str, str]]
) -> list[str]:
    """Artifacts whose data version is another, with the files that differ."""
    differing = []
    for key in sorted(unbroken.keys() | broken.keys()):
        one, other = unbroken.get(key, {}), broken.get(key, {})
        if one.get("data version") != other.get("data version"):
            files = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
            differing.append(f"{key}: {', '.join(sorted(files))}")
    return differing


def results(figures: Figures, given: Options) -> dict[str, Any]:
    """The figures, as the last line shows them."""
    return {
        "benchmark": "faults",
        "quick": given.quick,
        "seed": given.seed,
        **machine(),
        "kills": sum(figures.killed.values()),
        "killed": dict(figures.killed),
        "during": dict(figures.during),
        "identical": not figures.differing,
        "differing": figures.differing,
        "orphans": len(figures.orphans),
        "stale_leases": len(figures.stale_leases),
        "open_runs": len(figures.open_runs),
        "planned": len(figures.planned),
        "stuck": len(figures.stuck),
        "recover_s": max(figures.recover_s, default=0.0),
        "recover_median_s": statistics.median(figures.recover_s or [0.0]),
        "left_files": len(figures.left_files),
        "seconds": figures.seconds,
        "what": figures.orphans + figures.stale_leases + figures.open_runs + figures.stuck,
    }
