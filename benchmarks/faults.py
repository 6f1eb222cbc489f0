"""What a crash costs: any process of an installation is killed at any moment of a chain, then it is started once.

python benchmarks/faults.py [--quick]    about 50 minutes; --quick under four on a machine that does nothing else

Needs the CPU engine environment (`make setup`). An installation as `agent-assets up` has it makes an agent of a tiny
model: real training by examples and by rewards, merges, report, release. SIGKILL meets the run worker, an engine, the
daemon, the webserver, the API, mongod, the code server, a supervisor or `up` itself, ten times in a chain; what ended is
started again each time, as a person would. The last start of a chain is followed by nothing but `refresh`, and then the
home is compared with one whose chain was never broken (fp32). The last line is one JSON object:
kills           how many, and killed: of what
identical       whether every artifact of every chain has the bytes of the unbroken one; differing: which do not
orphans         processes that still ran 45 s after their `up` had ended
stale_leases    locks of devices and artifacts that were held when nothing ran any more
open_runs       runs that were left "in progress" or in the queue when nothing was going on any more
planned         what the plan still wanted after the last `refresh`
stuck           kills after which neither the run nor `up` ended within two minutes
recover_s       the longest time from a kill until the installation worked again: `up` ended, was started, and answers,
                or the run was marked as failed; recover_median_s: half of the times were shorter
left_files      files and folders left in the folder for temporary ones
"""  # noqa: E501

import json
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from backfill_installation import until
from faults_installation import (
    CLOCKS,
    KINDS,
    FaultyInstallation,
    Template,
    choose,
    find_faketime,
)
from plan import machine
from quick import is_quick

# Whoever of these ends, `up` ends everything.
SERVICES = ("daemon", "webserver", "API", "mongod", "up", "code server", "code")
RL = {
    "steps": 3,
    "scenarios_per_step": 2,
    "rollouts_per_scenario": 4,
    "max_turns": 2,
    "max_tokens": 32,
    "learning_rate": 1e-3,
}
LIMIT_SECONDS = 1800.0
CLOCK_CHAINS = 2  # the last ones, where libfaketime is installed
NOTICED_SECONDS = 120.0


@dataclass
class Figures:
    """What is counted over all chains."""

    killed: Counter[str] = field(default_factory=Counter)
    orphans: list[str] = field(default_factory=list)
    stale_leases: list[str] = field(default_factory=list)
    open_runs: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    left_files: list[str] = field(default_factory=list)
    recover_s: list[float] = field(default_factory=list)


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
    while kinds:
        if installation.up is None or installation.up.poll() is not None:
            installation.start()
        installation.refresh()
        assert installation.client is not None
        until(partial(_goes_on_or_ended, installation, installation.client), LIMIT_SECONDS)
        if installation.client.poll() == 0:
            print(f"the chain is whole before {len(kinds)} more kills", flush=True)
            return
        time.sleep(random.uniform(0, longest))
        if clocks:
            installation.set_clock(random.choice(clocks))
            time.sleep(random.uniform(0, longest))
        kill_one(installation, kinds, figures)


def _goes_on_or_ended(installation: FaultyInstallation, client: "subprocess.Popen[bytes]") -> bool:
    return bool(installation.open_runs()) or client.poll() is not None


def kill_one(installation: FaultyInstallation, kinds: list[str], figures: Figures) -> None:
    """Kill a process of the first kind that is there; count what came of it."""
    wanted = kinds[0]
    kind, victim = choose(kinds, installation, seconds=20)
    going_on = {run.run_id: _stages(run.tags) for run in installation.open_runs()}
    assert installation.up is not None
    up, before = installation.up, installation.processes()
    started = time.monotonic()
    victim.kill()
    figures.killed[kind] += 1

    def noticed() -> bool:
        left = {run.run_id for run in installation.open_runs()}
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
    print(
        f"{sum(figures.killed.values())}: {kind} (for {wanted}) during {list(going_on.values())}: "
        f"{figures.recover_s[-1]} s",
        flush=True,
    )


def _stages(tags: Mapping[str, str]) -> str:
    return tags.get("agent_assets/device", "not on the device")


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


def main() -> None:
    """Break chains, and print what is left of them."""
    quick = is_quick(__doc__, "one elder and six kills")
    random.seed(16)
    chains, kills, longest = (1, 6, 12.0) if quick else (5, 10, 45.0)
    elders = ["elder-1"] if quick else ["elder-1", "elder-2"]
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    figures, started = Figures(), time.monotonic()
    faketime = None if quick else find_faketime()
    whole: FaultyInstallation | None = None
    try:
        template = Template.make(folder, elders, RL)
        whole = FaultyInstallation(template, "unbroken")
        whole_chain(whole)  # without `up`: it executes its runs itself
        unbroken = whole.versions()
        print(f"{len(unbroken)} artifacts after {time.monotonic() - started:.0f} s", flush=True)
        kinds = [KINDS[number % len(KINDS)] for number in range(chains * kills)]
        random.shuffle(kinds)
        for number in range(chains):
            # The last kill of a chain is that of `up`.
            chosen = kinds[number * kills : (number + 1) * kills - 1]
            moved = None if number < chains - CLOCK_CHAINS else faketime
            whole = FaultyInstallation(template, f"broken-{number}", faketime=moved)
            clocks = () if moved is None else CLOCKS
            broken_chain(whole, chosen, longest, figures, clocks=clocks)
            check(whole, unbroken, figures)
            print(json.dumps(results(figures, quick=quick)), flush=True)
    finally:
        if whole is not None:
            whole.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results(figures, quick=quick)))


def results(figures: Figures, *, quick: bool) -> dict[str, Any]:
    """The figures, as the last line shows them."""
    return {
        "benchmark": "faults",
        "quick": quick,
        **machine(),
        "kills": sum(figures.killed.values()),
        "killed": dict(figures.killed),
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
        "what": figures.orphans + figures.stale_leases + figures.open_runs + figures.stuck,
    }


if __name__ == "__main__":
    main()
