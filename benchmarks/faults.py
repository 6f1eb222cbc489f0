"""What a crash costs: any process of an installation is killed at any moment of a chain, then it is started once.

python benchmarks/faults.py [--quick] [--seed N] [--chains N] [--clock]
                            about 50 minutes; --quick is to take four, on a machine that does nothing else

Needs the CPU engine environment (`make setup`). An installation as `agent-assets up` has it makes an agent of a tiny
model: training by examples, rollouts and training by rewards, merges, report, release. SIGKILL meets the run worker,
an engine, the daemon, the webserver, the API, mongod, the code server, a supervisor or `up` itself, ten times in a
chain, four of them when the training by rewards has begun; what ended is started again each time, as a person would.
The last start of a chain is followed by nothing but `refresh`, and then the home is compared with one whose chain was
never broken (fp32; with --quick it goes on beside the broken one). In every second chain, or with --clock in all, the
clock is set an hour back and a day ahead as well (Debian's `libfaketime`). The last line is one JSON object:
kills           how many; killed: of what; during: which stage went on (a run that waits for its device is of none yet)
identical       whether every artifact of every chain has the bytes of the unbroken one; differing: which do not
orphans         processes that still ran 45 s after their `up` had ended
stale_leases    locks of devices and artifacts that were held when nothing ran any more
open_runs       runs that were left "in progress" or in the queue when nothing was going on any more
planned         what the plan still wanted after the last `refresh`
stuck           kills after which neither the run nor `up` ended within two minutes
recover_s       the longest time from a kill until the installation worked again: `up` ended, was started, and answers,
                or the run was marked as failed; recover_median_s: half of the times were shorter
traces          outputs of commands that show the trace of an error to who started them
left_files      files and folders left in the folder for temporary ones
seconds         what all of it took
"""  # noqa: E501

import contextlib
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from backfill_installation import until
from faults_figures import Figures, Options, differences, options, results
from faults_installation import (
    NO_STAGE,
    QUICK,
    WHOLE,
    FaultyInstallation,
    Template,
)
from faults_processes import KINDS, SERVICES, choose

from support.moved_clock import CLOCKS, find_faketime

LIMIT_SECONDS = 1800.0
NOTICED_SECONDS = 120.0
KILLS = 10  # of a chain, that of `up` at its end included
RL_KILLS = range(3, 7)  # of a chain: those that wait for the training by rewards
LATE_STAGES = {"rl_checkpoint", "rl_merged_model", "eval_report"}
TRAINING_STAGES = {"sft_adapter", "merged_model", *LATE_STAGES}
# What falls at the same moment; the kill of `up` comes last.
QUICK_MOMENTS = [["engine", "run worker"], ["daemon", "webserver", "API", "mongod"]]


@dataclass(frozen=True)
class Chain:
    """What is killed while an agent is made, in this order.

    Args:
        together: how many of them fall at the same moment, for each moment.
        stages: for each moment one of which has to go on; None stands for any.
    """

    kinds: list[str]
    together: tuple[int, ...]
    stages: tuple[Set[str] | None, ...]


def whole_chain(installation: FaultyInstallation) -> None:
    """Wait for the runs that go on, then `refresh`; it may fail no run."""
    until(lambda: not installation.open_runs(), LIMIT_SECONDS)
    client, log = installation.command("refresh")
    if client.wait(LIMIT_SECONDS):
        raise RuntimeError(log.read_text(encoding="utf-8")[-3000:])


def broken_chain(
    installation: FaultyInstallation,
    chain: Chain,
    longest: float,
    figures: Figures,
    *,
    clocks: Sequence[str] = (),
) -> None:
    """Kill processes of each kind in turn, at random moments, and go on each time.

    Args:
        longest: seconds between two moments while something goes on.
        clocks: one of these offsets is set before each moment.
    """
    installation.start()
    kinds = list(chain.kinds)
    for together, wanted in zip(chain.together, chain.stages, strict=True):
        if not _goes_on(installation, wanted):
            figures.report(f"the chain is whole before {len(kinds)} more kills")
            return
        time.sleep(random.uniform(0, longest))
        if clocks:
            installation.clock.move(random.choice(clocks))
            time.sleep(random.uniform(0, longest))
        kill(installation, kinds, together, figures)


def _goes_on(installation: FaultyInstallation, wanted: Set[str] | None) -> bool:
    """Go on with the chain until a run makes one of these stages, or any; False when nothing is
    left to make.
    """
    while True:
        if installation.up is None or installation.up.poll() is not None:
            installation.start()
        installation.refresh()
        until(partial(_is_at_or_idle, installation, wanted), LIMIT_SECONDS)
        if _is_at(installation, wanted):
            return True
        if installation.has_nothing_to_do():
            return False


def _is_at(installation: FaultyInstallation, wanted: Set[str] | None) -> bool:
    stages = set(installation.stages().values()) - {NO_STAGE}
    return bool(stages if wanted is None else stages & wanted)


def _is_at_or_idle(installation: FaultyInstallation, wanted: Set[str] | None) -> bool:
    client = installation.client
    ended = client is None or client.poll() is not None
    return _is_at(installation, wanted) or (ended and not installation.stages())


def kill(
    installation: FaultyInstallation, kinds: list[str], together: int, figures: Figures
) -> None:
    """Kill so many processes, of the first kinds that are there; count what came of it."""
    assert installation.up is not None
    up = installation.up
    victims = [choose(kinds, installation.folder, up=up.pid, seconds=20) for _ in range(together)]
    going_on, before = installation.stages(), installation.processes()
    started = time.monotonic()
    for kind, victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was about to end by itself
            victim.kill()
            figures.killed[kind] += 1
    figures.during.update(going_on.values() or ["nothing"])
    names = " and ".join(kind for kind, _ in victims)
    of_services = any(kind in SERVICES for kind, _ in victims)

    def noticed() -> bool:
        left = installation.stages().keys()
        return up.poll() is not None or (not of_services and not going_on.keys() <= left)

    try:
        until(noticed, NOTICED_SECONDS, every=0.2)
    except TimeoutError:
        figures.stuck.append(names)
    ended = up.poll() is not None
    if ended:
        installation.start()  # at once, while what was killed with the old one may still end
    figures.recover_s.append(round(time.monotonic() - started, 1))
    figures.orphans += installation.orphans(before) if ended else []
    during = ", ".join(going_on.values()) or "nothing"
    figures.report(f"{names} during {during}: {figures.recover_s[-1]} s")


def check(installation: FaultyInstallation, figures: Figures) -> None:
    """One start, one `refresh`: count what is not as it would have been without a crash."""
    if installation.up is not None and installation.up.poll() is None:
        before, started = installation.processes(), time.monotonic()
        installation.up.kill()
        installation.up.wait()
        figures.killed["up"] += 1
        installation.start()
        figures.recover_s.append(round(time.monotonic() - started, 1))
        figures.orphans += installation.orphans(before)
    figures.report("`up` was killed and started for the last time")
    whole_chain(installation)
    figures.report("the chain is whole")
    figures.open_runs += [f"{run.run_id} {run.status}" for run in installation.open_runs()]
    plan, log = installation.command("plan", "--json")
    plan.wait(LIMIT_SECONDS)
    figures.planned += _planned(log)
    before = installation.processes()
    installation.stop()
    figures.orphans += installation.orphans(before)
    figures.stale_leases += installation.held_leases()
    figures.traces += installation.logs_with_traces()
    figures.left_files += [path.name for path in (installation.folder / "tmp").iterdir()]


def report_unbroken(reference: FaultyInstallation, figures: Figures) -> dict[str, dict[str, str]]:
    """The end of the chain that nothing breaks: what it made."""
    assert reference.client is not None
    if reference.client.wait(LIMIT_SECONDS):
        raise RuntimeError(f"The unbroken chain failed: {reference.client_text()[-3000:]}")
    versions = reference.versions()
    figures.report(f"the unbroken chain has made {len(versions)} artifacts")
    return versions


def _planned(log: Path) -> list[str]:
    content = json.loads(log.read_text(encoding="utf-8"))
    return [f"{run['pipeline']}/{run['partition']}" for run in content["runs"]]


def main() -> None:
    """Break chains, and print what is left of them."""
    given = options(__doc__)
    random.seed(given.seed)
    # Several processes share the cores: threads of a training that spin at their barriers take them
    # from the others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    figures = Figures()
    installations: list[FaultyInstallation] = []
    try:
        template = Template.make(folder, ["elder-1"], QUICK if given.quick else WHOLE)
        figures.report("the model is there")
        reference = FaultyInstallation(template, "unbroken")
        installations.append(reference)
        reference.refresh()  # without `up`: it executes its runs itself
        if not given.quick:  # there they share the cores, which makes what recovers slower
            report_unbroken(reference, figures)
        for number, chain in enumerate(chains_of(given)):
            faketime = find_faketime() if clocks_of(given, number) else None
            broken = FaultyInstallation(template, f"broken-{number}", faketime=faketime)
            installations.append(broken)
            clocks = () if faketime is None else CLOCKS
            longest = 6.0 if given.quick else 20.0
            broken_chain(broken, chain, longest, figures, clocks=clocks)
            figures.report("all was killed")
            check(broken, figures)
            unbroken = report_unbroken(reference, figures)
            figures.differing += differences(unbroken, broken.versions())
            print(json.dumps(results(figures, given)), flush=True)
    finally:
        for installation in installations:
            installation.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results(figures, given)))


def chains_of(given: Options) -> list[Chain]:
    """What is killed in each chain; the last kill of a chain is that of `up`."""
    if given.quick:
        moments = random.sample(QUICK_MOMENTS, len(QUICK_MOMENTS))
        kinds = [kind for together in moments for kind in together]
        return [Chain(kinds, tuple(map(len, moments)), (None, TRAINING_STAGES))]
    kinds = [KINDS[number % len(KINDS)] for number in range(given.chains * KILLS)]
    random.shuffle(kinds)
    ones = (1,) * (KILLS - 1)
    stages = tuple(LATE_STAGES if number in RL_KILLS else None for number in range(KILLS - 1))
    return [Chain(kinds[at : at + KILLS - 1], ones, stages) for at in range(0, len(kinds), KILLS)]


def clocks_of(given: Options, number: int) -> bool:
    """Whether the clock moves in this chain: in every second one."""
    return given.clock or (not given.quick and number % 2 == 1)


if __name__ == "__main__":
    main()
