"""Several elders want one device: a real daemon, code server and web server; only the stages are
made for the test.
"""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx
import psutil
import pytest

from agent_assets import services
from agent_assets.automation.daemon_queue import open_queue
from agent_assets.automation.execute import Order
from agent_assets.free_ports import free_port
from agent_assets.projects.project import Project
from agent_assets.runs.device_queue import (
    DEVICE_TAG,
    announce,
    holds_device,
    is_waiting,
    read_queue,
)
from agent_assets.runs.instance import open_instance
from agent_assets.runs.orphans import PROCESS_TAG, release_abandoned_runs
from agent_assets.serving.dagster_web import DagsterWeb
from agent_assets.serving.job_progress import job_progress
from agent_assets.serving.jobs import Jobs
from agent_assets.serving.seals import Seal
from agent_assets.settings import Settings, load_settings
from support.command_line import ROOT as REPOSITORY
from support.waiting import wait_for

ELDERS = ("ada", "ben", "cleo", "dora")
STATUS = dg.DagsterRunStatus
BACKFILL = """
mutation($names: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    allPartitions: false, partitionNames: $names, assetSelection: [
    {path: ["elder_companion", "elder_memories"]}, {path: ["elder_companion", "sft_adapter"]},
    {path: ["elder_companion", "eval_report"]}, {path: ["elder_companion", "release"]}]
  }) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } }
}
"""


@dataclass
class Machine:
    """An installation that is up, and the folder by which its stages are let go."""

    instance: dg.DagsterInstance
    settings: Settings
    folder: Path
    url: str

    def run_of(self, elder: str) -> dg.DagsterRun:
        """The latest run of an elder."""
        (run,) = self.instance.get_runs(
            filters=dg.RunsFilter(tags={"dagster/partition": elder}), limit=1
        )
        return run

    def first(self, matches: Callable[[dg.DagsterRun], bool], seconds: float = 90) -> dg.DagsterRun:
        """The first run of which something becomes true."""
        runs = wait_for(
            lambda: [run for run in self.instance.get_runs() if matches(run)], seconds, every=0.2
        )
        return runs[0]

    def ended(self, run: dg.DagsterRun, seconds: float) -> dg.DagsterRunStatus:
        """How a run ends within some seconds."""
        wait_for(lambda: self._get(run).is_finished, seconds)
        return self._get(run).status

    def _get(self, run: dg.DagsterRun) -> dg.DagsterRun:
        current = self.instance.get_run_by_id(run.run_id)
        assert current is not None
        return current

    def submit(self, *elders: str) -> None:
        """Hand one run of each elder to the daemon, in this order."""
        names = ("elder_memories", "sft_adapter", "eval_report", "release")
        with open_queue(self.instance, self.settings) as queue:
            assert queue is not None
            for elder in elders:
                queue.submit(Order("elder_companion", elder, names, {}))


def prepared(run: dg.DagsterRun) -> bool:
    """It has begun, and says by now what it does."""
    return run.status is STATUS.STARTED and PROCESS_TAG in run.tags and is_waiting(run)


def working(run: dg.DagsterRun) -> bool:
    return run.status is STATUS.STARTED and holds_device(run)


def process_of(run: dg.DagsterRun) -> psutil.Process:
    return psutil.Process(int(run.tags[PROCESS_TAG].split("/")[1].split("-")[0]))


class OtherDefinitions(Project):
    """This project, with definitions of a test."""

    @property
    def definitions(self) -> str:
        return "support.device_location"


@pytest.fixture
def machine(tmp_path: Path, mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    quiet = tmp_path / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    here = str(Path(__file__).parents[2])
    variables = {
        "AGENT_ASSETS_HOME": str(tmp_path / "home"),
        "MONGODB_URI": mongo_uri,
        "AGENT_ASSETS_DEVICE": "cpu",
        "AGENT_ASSETS_AUTOMATION": str(quiet),
        "DEVICE_LOCATION_FOLDER": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings, port = load_settings(), free_port()
    assert settings.project is not None
    project = OtherDefinitions(settings.project.folder, settings.project.package)
    monkeypatch.setattr(services, "require_project", lambda _: project)
    with services.running_services(settings, port=port), open_instance(settings) as instance:
        instance.add_dynamic_partitions("elders", list(ELDERS))
        yield Machine(instance, settings, tmp_path, f"http://127.0.0.1:{port}")


def test_a_backfill_of_the_stock_dialog_waits_in_the_queue_and_releases_the_first_elder_first(
    machine: Machine,
) -> None:
    answer = httpx.post(
        f"{machine.url}/graphql",
        json={"query": BACKFILL, "variables": {"names": list(ELDERS)}},
        timeout=60,
    ).json()
    assert answer["data"]["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", (
        answer
    )
    holder, waiter = machine.first(working), machine.first(prepared)
    wait_for(lambda: len(machine.instance.get_runs()) == len(ELDERS), 60)
    # One holds the device, one is prepared, two cost nothing; what waits uses no CPU.
    statuses = sorted(run.status.value for run in machine.instance.get_runs())
    assert statuses == ["QUEUED", "QUEUED", "STARTED", "STARTED"]
    process = process_of(waiter)
    before = process.cpu_times()
    time.sleep(10)
    after = process.cpu_times()
    assert (after.user + after.system) - (before.user + before.system) < 0.5
    # What is shown: in the tags, and in the API.
    announce(machine.instance)
    queue = read_queue(machine.instance)
    assert (
        queue.holding == (holder.run_id,)
        and queue.waiting[0] == waiter.run_id
        and len(queue.waiting) == 3
    )
    tags = {run.run_id: run.tags[DEVICE_TAG] for run in machine.instance.get_runs()}
    assert [tags[run_id] for run_id in queue.waiting] == [
        f"waiting, {n} before it" for n in (1, 2, 3)
    ]
    (waiting,) = machine.instance.get_runs(dg.RunsFilter(run_ids=[queue.waiting[1]]))
    shown = job_progress(machine.instance, waiting, "", "", queue)
    assert (shown["status"], shown["message"]) == (
        "preparing",
        "waiting for the device, 2 before it",
    )
    # The first is let go: it has its other stage on the device before anyone else, and ends first.
    elder = holder.tags["dagster/partition"]
    (machine.folder / f"go-{elder}").touch()
    assert machine.ended(holder, 30) is STATUS.SUCCESS
    others = [other for other in ELDERS if other != elder]
    assert all(
        _at(machine, other, "sft_adapter") > _at(machine, elder, "eval_report") for other in others
    )
    (machine.folder / "go").touch()
    for elder in ELDERS:
        assert machine.ended(machine.run_of(elder), 90) is STATUS.SUCCESS
    queue = read_queue(machine.instance)
    assert (queue.holding, queue.waiting) == ((), ()) and queue.seconds_per_run is not None


def _at(machine: Machine, elder: str, stage: str) -> float:
    """When a stage of an elder had the device; infinity when it has not had it yet."""
    file = machine.folder / f"{elder}.{stage}"
    return float(file.read_text(encoding="utf-8")) if file.exists() else math.inf


def test_a_killed_run_frees_its_place_whether_it_waited_or_worked(machine: Machine) -> None:
    machine.submit(*ELDERS)
    holder, waiter = machine.first(working), machine.first(prepared)
    process_of(waiter).send_signal(signal.SIGKILL)
    assert machine.ended(waiter, 10) is STATUS.FAILURE
    following = machine.first(lambda run: prepared(run) and run.run_id != waiter.run_id)
    process_of(holder).send_signal(signal.SIGKILL)
    assert machine.ended(holder, 10) is STATUS.FAILURE
    assert machine.first(working, 20).run_id == following.run_id
    (machine.folder / "go").touch()
    remaining = [
        run
        for run in machine.instance.get_runs()
        if run.run_id not in (holder.run_id, waiter.run_id)
    ]
    assert [machine.ended(run, 90) for run in remaining] == [STATUS.SUCCESS] * 2


def test_cancelled_runs_end_at_once_and_read_cancelled(machine: Machine) -> None:
    machine.submit(*ELDERS)
    holder, waiter = machine.first(working), machine.first(prepared)
    queued = machine.first(lambda run: run.status is STATUS.QUEUED)
    jobs = Jobs(machine.settings, DagsterWeb(machine.url, Seal.of(machine.settings)))
    try:
        for run in (queued, waiter, holder):
            jobs.cancel(run.run_id)
            assert machine.ended(run, 10) is STATUS.CANCELED
            progress = jobs.progress(run.run_id, lambda _: True)
            assert (progress["status"], progress["error"], progress["eta"]) == (
                "cancelled",
                "cancelled",
                None,
            )
    finally:
        jobs.close()
    (machine.folder / "go").touch()
    cancelled = {run.run_id for run in (queued, waiter, holder)}
    left = [run for run in machine.instance.get_runs() if run.run_id not in cancelled]
    assert [machine.ended(run, 90) for run in left] == [STATUS.SUCCESS]


def test_what_a_machine_without_power_left_behind_is_ended_on_the_next_start(
    tmp_path: Path,
) -> None:
    """Runs that a code server was starting name no process, and claims of an earlier version's pool
    stay.
    """
    from dagster._core.storage.tags import GRPC_INFO_TAG

    from agent_assets.runs.instance import prepare_dagster_home

    settings = load_settings({"AGENT_ASSETS_HOME": str(tmp_path), "PATH": os.environ["PATH"]})
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        lost = dg.DagsterRun(
            "job", status=STATUS.STARTING, tags={GRPC_INFO_TAG: '{"host": "127.0.0.1", "port": 1}'}
        )
        over = dg.DagsterRun("job", status=STATUS.FAILURE)
        for run in (lost, over):
            instance.add_run(run)
        storage = instance.event_log_storage
        for step in ("one", "two", "three"):
            storage.claim_concurrency_slot("gpu", over.run_id, step)
        assert release_abandoned_runs(instance) == []  # a code server lives: it is being started
        assert storage.get_concurrency_info("gpu").pending_steps == []
        assert storage.get_concurrency_info("gpu").claimed_slots == []
        assert release_abandoned_runs(instance, code_server_gone=True) == [lost.run_id]


IN_A_TERMINAL = """
from support.device_location import NAMES, defs
from agent_assets.automation.execute import Order, execute_here
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import load_settings

prepare_dagster_home(load_settings())
with open_instance(load_settings()) as instance:
    instance.add_dynamic_partitions("elders", ["ada"])
    execute_here(instance, defs(), Order("elder_companion", "ada", NAMES, {}))
"""


def test_ctrl_c_in_a_terminal_cancels_the_run(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(REPOSITORY)])
    environment = {
        "AGENT_ASSETS_HOME": str(tmp_path / "home"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
    }
    environment |= {"DEVICE_LOCATION_FOLDER": str(tmp_path)}
    terminal = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for((tmp_path / "ada.sft_adapter").exists, 60)
        terminal.send_signal(signal.SIGINT)
        output, _ = terminal.communicate(timeout=20)
    finally:
        terminal.kill()
    assert b"KeyboardInterrupt" in output
    with open_instance(load_settings(environment)) as instance:
        (run,) = instance.get_runs()
    assert run.status is STATUS.CANCELED
