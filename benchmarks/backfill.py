"""What a backfill of elders costs: the real graph, daemon and queue as `agent-assets up` has them, a tiny model.

python benchmarks/backfill.py [--quick]    about 15 minutes; --quick four to five, with two elders instead of eight

Needs the CPU engine environment (`make setup`). The last line is one JSON object:
quiet_cpu_share       CPU seconds per second of `up` with its MongoDB when nothing happens
waiting_cpu_share     CPU seconds per second of a run that is prepared and waits for the device
op_pool_cpu_share     the same of a run that waits for Dagster's own pool of steps (`granularity: op`): the peer
slowdown              steps per second of a training with three runs waiting, by those of the same training alone
cancel_s              the longest time from POST /train/cancel to the end of a run: queued, prepared, training
elders, elders_per_hour
device_busy_share     time for which a run held the device, by the wall time of the backfill from its request
first_released_share  time until the first elder is released, by the N-th part of the whole backfill
chat_first_s          median time from a question to the first words of its answer (/chat/stream), nothing else
                      going on; chat_whole_s to its end
chat_training_first_s  the same while an elder trains on the same cores, one question after the other without a pause;
                      chat_training_whole_s to the end of the answer
chat_training_slowdown  steps per second of that training, by those of a training alone
"""  # noqa: E501

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil
import yaml
from plan import machine
from quick import is_quick

from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
from agent_assets.engines.environment import find_engine_env
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import connect
from agent_assets.ports import free_port
from agent_assets.runs.device_queue import DEVICE_TAG, holds_device, is_waiting
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.orphans import PROCESS_TAG
from agent_assets.settings import REPOSITORY, load_settings

sys.path.insert(0, str(REPOSITORY / "tests"))
from support.tiny_model import make_tiny_model

PIPELINE = "elder_companion"
STAGES = ("elder_memories", "train_jsonl", "sft_adapter", "merged_model", "eval_report", "release")
LIMIT_SECONDS = 1800.0

OP_POOL = """
import sys, time
import dagster as dg

@dg.asset(pool="gpu")
def trains():
    print("has it", flush=True)
    time.sleep(float(sys.argv[1]))

with dg.DagsterInstance.from_config(sys.argv[2]) as instance:
    dg.materialize([trains], instance=instance)
"""


@dataclass
class Installation:
    """A running `up` over a copy of the code whose pipeline trains a tiny model."""

    tree: Path
    home: Path
    environment: dict[str, str]
    instance: dg.DagsterInstance
    api: httpx.Client
    up: psutil.Process
    mongod: psutil.Process
    mongo_uri: str

    def backfill(self, elders: list[str]) -> "subprocess.Popen[bytes]":
        """`agent-assets backfill` of these elders, followed in a process of its own."""
        chosen = [word for elder in elders for word in ("--elder", elder)]
        return self.command("backfill", "--pipeline", PIPELINE, *chosen)

    def command(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start `agent-assets` with these arguments."""
        code = "from agent_assets.cli.main import main; main()"
        with (self.tree / "command.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                cwd=self.tree,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def runs(self, elders: list[str] | None = None) -> dict[str, dg.DagsterRun]:
        """The latest run of every elder, or of those named."""
        found: dict[str, dg.DagsterRun] = {}
        for run in self.instance.get_runs():
            elder = run.tags.get("dagster/partition")
            if elder is not None and (elders is None or elder in elders):
                found.setdefault(elder, run)
        return found


@contextmanager
def installed(folder: Path, elders: list[str], epochs: float) -> Iterator[Installation]:
    """Copy the code, make the tiny pipeline and its elders, start `up`."""
    tree = folder / "tree"
    for name in ("agent_assets", "resources", "deploy"):
        shutil.copytree(REPOSITORY / name, tree / name)
    for name in ("dagster.yaml", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tree)
    shutil.rmtree(tree / "agent_assets/defs/energy_expert")
    model = make_tiny_model(folder / "model", find_engine_env("cpu"))
    _configure(tree / "agent_assets/defs" / PIPELINE / "defs.yaml", model, epochs)
    quiet = folder / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    ports = {"--port": free_port(), "--api-port": free_port()}
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MONGO", "DAGSTER"))
    }
    environment |= {
        "PYTHONPATH": str(tree),
        "AGENT_ASSETS_HOME": str(folder / "home"),
        "AGENT_ASSETS_ENGINES": str(load_settings().engines),
        "AGENT_ASSETS_AUTOMATION": str(quiet),
        "AGENT_ASSETS_DEVICE": "cpu",
    }
    settings = load_settings(environment)
    with start_mongod(settings.mongo_data) as mongod:
        _seed(mongod.uri, settings.mongodb_database, elders)
        prepare_dagster_home(settings)
        with open_instance(settings) as instance, (folder / "up.log").open("wb") as log:
            code = "from agent_assets.cli.main import main; main()"
            arguments = [word for name, port in ports.items() for word in (name, str(port))]
            up = subprocess.Popen(
                [sys.executable, "-c", code, "up", *arguments],
                cwd=tree,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                with httpx.Client(
                    base_url=f"http://127.0.0.1:{ports['--api-port']}", timeout=60
                ) as api:
                    until(lambda: _answers(api) or up.poll() is not None, 180)
                    if up.poll() is not None:
                        raise RuntimeError((folder / "up.log").read_text(encoding="utf-8"))
                    yield Installation(
                        tree,
                        settings.home,
                        environment,
                        instance,
                        api,
                        psutil.Process(up.pid),
                        psutil.Process(mongod.pid),
                        mongod.uri,
                    )
            finally:
                up.send_signal(signal.SIGINT)
                up.wait(60)


def _configure(path: Path, model: Path, epochs: float) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    attributes = content["attributes"]
    attributes["base_model"] = {"source": str(model)}
    attributes["sft_adapter"] = {
        "epochs": epochs,
        "batch_size": 1,
        "learning_rate": 1e-3,
        "precision": "fp32",
    }
    attributes["eval_report"] = {"max_turns": 2, "max_tokens": 16}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _seed(uri: str, database: str, elders: list[str]) -> None:
    """Elders who all told the same: trainings of equal size."""
    (sample,) = load_sample_elders(["benjamin-franklin"])
    people = [replace(sample, profile=replace(sample.profile, elder_id=elder)) for elder in elders]
    with connect(uri) as client:
        seed_elders(client[database], MongoLayout.service(), people)


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/health").status_code in (200, 503)
    except httpx.TransportError:
        return False


def until(ready: Callable[[], Any], seconds: float, every: float = 1.0) -> Any:
    """Wait for something; what it was."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(every)
    return found


def cpu_seconds(*roots: psutil.Process) -> float:
    """Of these processes and all their descendants that still run."""
    total = 0.0
    for root in roots:
        for process in [root, *root.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total


def cpu_share(seconds: float, *roots: psutil.Process) -> float:
    """CPU seconds per second over some time."""
    before, started = cpu_seconds(*roots), time.monotonic()
    time.sleep(seconds)
    return round((cpu_seconds(*roots) - before) / (time.monotonic() - started), 4)


def process_of(run: dg.DagsterRun) -> psutil.Process:
    """The process of a run, from its tag `host/pid-start-boot/run`."""
    return psutil.Process(int(run.tags[PROCESS_TAG].split("/")[1].split("-")[0]))


def steps_per_second(instance: dg.DagsterInstance, run: dg.DagsterRun) -> float:
    """Between the first and the last report of the training."""
    seen = _reports(instance, run)
    (first_at, first), (last_at, last) = seen[0], seen[-1]
    return (last - first) / (last_at - first_at)


def _reports(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[tuple[float, float]]:
    """When a training said that it had come to which step."""
    records = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION
    ).records
    seen = []
    for record in records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        metadata = event.asset_observation_data.asset_observation.metadata
        if str(event.step_key).endswith("sft_adapter") and "loss" in metadata:
            seen.append((record.event_log_entry.timestamp, float(metadata["step"].value)))  # type: ignore[arg-type]
    return seen


def op_pool_share(folder: Path, seconds: float) -> float:
    """CPU share of a run that waits for a step of another under Dagster's own executor and pool."""
    home = folder / "op-pool"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "concurrency: {pools: {default_limit: 1, granularity: op}}", encoding="utf-8"
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_run_records(limit=1)

    def start(holds: float) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", OP_POOL, str(holds), str(home)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    first = start(seconds + 15)
    assert first.stdout is not None and first.stdout.readline()
    second = start(0)
    time.sleep(8)  # it has started and waits
    share = cpu_share(seconds, psutil.Process(second.pid))
    for process in (first, second):
        process.kill()
        process.wait()
    return share


def waiting_figures(
    made: Installation, four: list[str], alone: float, watch_seconds: float
) -> dict[str, Any]:
    """One training with three runs waiting, then the end of all four.

    Args:
        alone: steps per second of such a training while nothing waits.
    """
    following = made.backfill(four)
    working = until(
        lambda: next((run for run in made.runs(four).values() if holds_device(run)), None), 180
    )
    waiting = until(
        lambda: next((run for run in made.runs(four).values() if _prepared(run)), None), 180
    )
    share = cpu_share(watch_seconds, process_of(waiting))
    until(lambda: _stage_done(made.instance, working, "sft_adapter"), LIMIT_SECONDS)
    slowdown = steps_per_second(made.instance, working) / alone
    queued = next(
        run for run in made.runs(four).values() if run.status is dg.DagsterRunStatus.QUEUED
    )
    cancel = {
        name: cancel_seconds(made, run)
        for name, run in (("queued", queued), ("prepared", waiting), ("working", working))
    }
    for run in made.runs(four).values():
        if not run.is_finished:
            made.api.post(f"/train/cancel/{run.run_id}").raise_for_status()
    following.wait(120)
    print(f"cancelled: {cancel}")
    return {
        "waiting_cpu_share": share,
        "slowdown": round(slowdown, 3),
        "cancel_s": round(max(cancel.values()), 2),
    }


def _prepared(run: dg.DagsterRun) -> bool:
    return run.status is dg.DagsterRunStatus.STARTED and PROCESS_TAG in run.tags and is_waiting(run)


def _stage_done(instance: dg.DagsterInstance, run: dg.DagsterRun, stage: str) -> bool:
    records = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS
    ).records
    events = [record.event_log_entry.dagster_event for record in records]
    return any(event is not None and str(event.step_key).endswith(stage) for event in events)


def cancel_seconds(made: Installation, run: dg.DagsterRun) -> float:
    """From the request to the end of a run, which must then read as cancelled."""
    started = time.monotonic()
    made.api.post(f"/train/cancel/{run.run_id}").raise_for_status()
    until(lambda: made.instance.get_run_by_id(run.run_id).is_finished, 120, every=0.05)  # type: ignore[union-attr]
    seconds = time.monotonic() - started
    status = made.api.get(f"/train/progress/{run.run_id}").json()["status"]
    assert status == "cancelled", status
    return round(seconds, 2)


def chat_seconds(made: Installation, elder: str) -> tuple[float, float]:
    """From a question to the first words of its answer, and to its end."""
    started, first = time.monotonic(), None
    question = {"elder_id": elder, "message": "Where were you born, and who was with you?"}
    with made.api.stream("POST", "/chat/stream", json=question) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if first is None and line == "event: text_chunk":
                first = time.monotonic() - started
    assert first is not None, "the answer has no words"
    return first, time.monotonic() - started


def chat_figures(
    made: Installation, elder: str, elders: list[str], alone: float, seconds: float
) -> dict[str, Any]:
    """One question after the other while nothing else goes on is `quiet`; the same while one of
    `elders` trains.

    Args:
        elder: who is asked.
        alone: steps per second of such a training while nobody asks.
        seconds: how long to ask beside it.
    """
    chat_seconds(made, elder)  # starts the model server
    quiet = [chat_seconds(made, elder) for _ in range(5)]
    following = made.backfill(elders)
    working = until(
        lambda: next((run for run in made.runs(elders).values() if holds_device(run)), None), 180
    )
    until(lambda: _reports(made.instance, working), 180)
    before, since, beside = training_step(made), time.monotonic(), []
    while time.monotonic() - since < seconds:
        beside.append(chat_seconds(made, elder))
    pace = (training_step(made) - before) / (time.monotonic() - since)
    cancel_seconds(made, working)
    following.wait(60)
    return {
        "chat_first_s": round(statistics.median(first for first, _ in quiet), 3),
        "chat_training_first_s": round(statistics.median(first for first, _ in beside), 3),
        "chat_whole_s": round(statistics.median(whole for _, whole in quiet), 3),
        "chat_training_whole_s": round(statistics.median(whole for _, whole in beside), 3),
        "chat_training_slowdown": round(pace / alone, 3),
    }


def training_step(made: Installation) -> int:
    """The step at which the training is now: written down at every step, while events are rarer."""
    newest = max(made.home.rglob("progress.json"), key=lambda path: path.stat().st_mtime)
    return int(json.loads(newest.read_text(encoding="utf-8"))["step"])


def backfill_figures(made: Installation, elders: list[str]) -> dict[str, Any]:
    """All elders, from the request to the last release."""
    started = time.time()
    assert made.backfill(elders).wait(LIMIT_SECONDS * len(elders)) == 0
    ends, held = [], 0.0
    for elder, run in sorted(made.runs(elders).items()):
        (record,) = made.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
        assert record.end_time is not None
        ends.append(record.end_time - started)
        held += float(run.tags[DEVICE_TAG].rsplit(", ", 1)[1].removesuffix(" s"))
        print(f"{elder}: ended after {ends[-1]:.1f} s; {run.tags[DEVICE_TAG]}", flush=True)
    whole = max(ends)
    return {
        "elders": len(elders),
        "elders_per_hour": round(3600 * len(elders) / whole, 1),
        "device_busy_share": round(held / whole, 3),
        "first_released_share": round(min(ends) / (whole / len(elders)), 3),
    }


def main() -> None:
    """Measure and print."""
    quick = is_quick(__doc__, "two elders and short trainings")
    number, epochs, seconds = (2, 2.0, 15.0) if quick else (8, 4.0, 60.0)
    four, last = [f"waiting-{n}" for n in range(4)], ["last"]
    elders = [f"elder-{n:02d}" for n in range(number)]
    figures: dict[str, Any] = {"benchmark": "backfill", "quick": quick, **machine()}
    folder = Path(tempfile.mkdtemp(prefix="backfill-"))
    try:
        figures["op_pool_cpu_share"] = op_pool_share(folder, seconds / 3)
        with installed(folder, [*elders, *four, *last], epochs) as made:
            time.sleep(10)  # imports, first ticks
            figures["quiet_cpu_share"] = cpu_share(seconds, made.up, made.mongod)
            print(json.dumps(figures), flush=True)
            figures |= backfill_figures(made, elders)
            # Of the elder who came last: nothing waited while it trained.
            alone = steps_per_second(made.instance, next(iter(made.runs(elders).values())))
            print(json.dumps(figures), flush=True)
            figures |= waiting_figures(made, four, alone, seconds / 3)
            print(json.dumps(figures), flush=True)
            figures |= chat_figures(made, elders[0], last, alone, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
