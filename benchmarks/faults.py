"""What a crash costs: any process of an installation is killed at any moment of a chain, then it is started once.

python benchmarks/faults.py [--quick] [--seed N] [--chains N] [--clock]
                                    about 50 minutes; --quick under four on a machine that does nothing else

Needs the CPU engine environment (`make setup`). An installation as `agent-assets up` has it makes an agent of a tiny
model: real training by examples and by rewards, merges, report, release. SIGKILL meets the run worker, an engine, the
daemon, the webserver, the API, mongod, the code server, a supervisor or `up` itself, ten times in a chain, four of them
during the training by rewards; what ended is started again each time, as a person would. The last start of a chain is
followed by nothing but `refresh`, and then the home is compared with one whose chain was never broken (fp32). In the
last chains, or with --clock in all, the clock is set an hour back and a day ahead as well (Debian's `libfaketime`).
The last line is one JSON object:
kills           how many; killed: of what; during: which stage went on (a run that waits for its device is of none yet)
identical       whether every artifact of every chain has the bytes of the unbroken one; differing: which do not
orphans         processes that still ran 45 s after their `up` had ended
stale_leases    locks of devices and artifacts that were held when nothing ran any more
open_runs       runs that were left "in progress" or in the queue when nothing was going on any more
planned         what the plan still wanted after the last `refresh`
stuck           kills after which neither the run nor `up` ended within two minutes
recover_s       the longest time from a kill until the installation worked again: `up` ended, was started, and answers,
                or the run was marked as failed; recover_median_s: half of the times were shorter
left_files      files and folders left in the folder for temporary ones
seconds         what all of it took
"""  # noqa: E501

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from backfill_installation import until
from faults_installation import (
    QUICK,
    WHOLE,
    FaultyInstallation,
    Template,
)
from faults_processes import KINDS, SERVICES, choose
from plan import machine

from support.moved_clock import CLOCKS, find_faketime

LIMIT_SECONDS = 1800.0
CLOCK_CHAINS = 2  # the last ones, where libfaketime is installed
NOTICED_SECONDS = 120.0
KILLS = 10  # of a chain, that of `up` at its end included
RL_STAGE = "rl_checkpoint"
RL_KILLS = range(3, 7)  # of a chain: those that wait for the training by rewards
# One of each kind that an installation has always or most of the time; the last is that of `up`.
QUICK_KINDS = ("run worker", "engine", "daemon", "webserver", "API", "mongod", "up")


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


def whole_chain(installation: FaultyInstallation) -> None:
    """`refresh` until it has nothing to do; it may fail no run."""
    until(lambda: not installation.open_runs(), LIMIT_SECONDS)
    client, log = installation.command("refresh")
    if client.wait(LIMIT_SECONDS):
        raise RuntimeError(log.read_text(encoding="utf-8")[-3000:])


def broken_chain(
    installation: FaultyInstallation,
    kinds: list[str],
    longest: float,
    figures: Figures,
    *,
    clocks: Sequence[str] = (),
) -> None:
    """Kill one process of each kind in turn, at random moments, and go on each time.

    Args:
        longest: seconds between two kills while something goes on.
        clocks: one of these offsets is set before each kill.
    """
    installation.start()
    first = len(kinds)
    while kinds:
        if installation.up is None or installation.up.poll() is not None:
            installation.start()
        installation.refresh()
        stage = RL_STAGE if first - len(kinds) in RL_KILLS else None
        until(partial(_is_at, installation, stage), LIMIT_SECONDS)
        assert installation.client is not None
        if installation.client.poll() == 0:
            figures.report(f"the chain is whole before {len(kinds)} more kills")
            return
        time.sleep(random.uniform(0, longest))
        if clocks:
            installation.clock.move(random.choice(clocks))
            time.sleep(random.uniform(0, longest))
        kill_one(installation, kinds, figures)


def _is_at(installation: FaultyInstallation, stage: str | None) -> bool:
    """Whether a run makes this stage, or anything, or all is over."""
    client = installation.client
    if client is not None and client.poll() is not None:
        return True
    stages = installation.stages().values()
    return bool(stages) if stage is None else stage in stages


def kill_one(installation: FaultyInstallation, kinds: list[str], figures: Figures) -> None:
    """Kill a process of the first kind that is there; count what came of it."""
    wanted = kinds[0]
    assert installation.up is not None
    up = installation.up
    kind, victim = choose(kinds, installation.folder, up=up.pid, seconds=20)
    going_on, before = installation.stages(), installation.processes()
    started = time.monotonic()
    victim.kill()
    figures.killed[kind] += 1
    figures.during.update(going_on.values() or ["nothing"])

    def noticed() -> bool:
        left = installation.stages().keys()
        return up.poll() is not None or (kind not in SERVICES and not going_on.keys() <= left)

    try:
        until(noticed, NOTICED_SECONDS, every=0.2)
    except TimeoutError:
        figures.stuck.append(f"{kind} {victim.pid}")
    ended = up.poll() is not None
    if ended:
        installation.start()  # at once, while what was killed with the old one may still end
    figures.recover_s.append(round(time.monotonic() - started, 1))
    figures.orphans += installation.orphans(before) if ended else []
    figures.report(
        f"{sum(figures.killed.values())}: {kind} (for {wanted}) during {list(going_on.values())}: "
        f"{figures.recover_s[-1]} s"
    )


def check(
    installation: FaultyInstallation, unbroken: dict[str, dict[str, str]], figures: Figures
) -> None:
    """One start, one `refresh`: count what is not as it would have been without a crash."""
    if installation.up is not None and installation.up.poll() is None:
        before, started = installation.processes(), time.monotonic()
        installation.up.kill()
        installation.up.wait()
        figures.killed["up"] += 1
        installation.start()
        figures.recover_s.append(round(time.monotonic() - started, 1))
        figures.orphans += installation.orphans(before)
    whole_chain(installation)
    figures.open_runs += [f"{run.run_id} {run.status}" for run in installation.open_runs()]
    plan, log = installation.command("plan", "--json")
    plan.wait(LIMIT_SECONDS)
    figures.planned += _planned(log)
    before = installation.processes()
    installation.stop()
    figures.orphans += installation.orphans(before)
    figures.stale_leases += installation.held_leases()
    figures.left_files += [path.name for path in (installation.folder / "tmp").iterdir()]
    figures.differing += differences(unbroken, installation.versions())


def _planned(log: Path) -> list[str]:
    content = json.loads(log.read_text(encoding="utf-8"))
    return [f"{run['pipeline']}/{run['partition']}" for run in content["runs"]]


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


@dataclass(frozen=True)
class Options:
    """What is broken, and how often."""

    quick: bool
    seed: int
    chains: int
    clock: bool


def options() -> Options:
    """Those of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small chain and seven kills")
    parser.add_argument("--seed", type=int, default=16, help="of the moments, default 16")
    parser.add_argument("--chains", type=int, default=5, help="of ten kills each, default 5")
    parser.add_argument("--clock", action="store_true", help="move the clock in every chain")
    given = parser.parse_args()
    return Options(given.quick, given.seed, 1 if given.quick else given.chains, given.clock)


def main() -> None:
    """Break chains, and print what is left of them."""
    given = options()
    random.seed(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    figures = Figures()
    whole: FaultyInstallation | None = None
    try:
        elders = ["elder-1"] if given.quick else ["elder-1", "elder-2"]
        template = Template.make(folder, elders, QUICK if given.quick else WHOLE)
        figures.report("the model is there")
        whole = FaultyInstallation(template, "unbroken")
        whole_chain(whole)  # without `up`: it executes its runs itself
        unbroken = whole.versions()
        figures.report(f"the unbroken chain has made {len(unbroken)} artifacts")
        for number, kinds in enumerate(kinds_of_chains(given)):
            faketime = find_faketime() if clocks_of(given, number) else None
            whole = FaultyInstallation(template, f"broken-{number}", faketime=faketime)
            clocks = () if faketime is None else CLOCKS
            longest = 8.0 if given.quick else 45.0
            broken_chain(whole, kinds, longest, figures, clocks=clocks)
            check(whole, unbroken, figures)
            print(json.dumps(results(figures, given)), flush=True)
    finally:
        if whole is not None:
            whole.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results(figures, given)))


def kinds_of_chains(given: Options) -> list[list[str]]:
    """What is killed in each chain, in this order; the last kill of a chain is that of `up`."""
    if given.quick:
        kinds = list(QUICK_KINDS[:-1])
        random.shuffle(kinds)
        return [kinds]
    kinds = [KINDS[number % len(KINDS)] for number in range(given.chains * KILLS)]
    random.shuffle(kinds)
    return [kinds[at : at + KILLS - 1] for at in range(0, len(kinds), KILLS)]


def clocks_of(given: Options, number: int) -> bool:
    """Whether the clock moves in this chain."""
    return given.clock or (not given.quick and number >= given.chains - CLOCK_CHAINS > 0)


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


if __name__ == "__main__":
    main()
