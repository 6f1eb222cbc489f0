"""An installation for `backfill.py`: `agent-assets up` over a copy of the code whose pipeline
trains a tiny model.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psutil
import yaml

from agent_assets.demo.sample_elders import SampleElder, load_sample_elders, seed_elders
from agent_assets.engines.environment import find_engine_env
from agent_assets.free_ports import free_port
from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import connect
from agent_assets.release.config import FloorsConfig
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import load_settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.command_line import ROOT as REPOSITORY
from support.tiny_model import make_tiny_model

PIPELINE = "elder_companion"
SHARED = ("base_model", "mcp_tool_schema", "questions")
LIMIT_SECONDS = 1800.0
_MORE_STORIES = 6


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

    def request(self, elder: str) -> None:
        """Ask the API for a training, which costs no new process."""
        answer = self.api.post("/train/start", json={"elder_id": elder})
        assert answer.raise_for_status().json()["job_id"], answer.text

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
        by_elder: dict[str, dg.DagsterRun] = {}
        for run in self.instance.get_runs():
            elder = run.tags.get("dagster/partition")
            if elder is not None and (elders is None or elder in elders):
                by_elder.setdefault(elder, run)
        return by_elder


@contextmanager
def installed(
    folder: Path, elders: list[str], epochs: float, *, talker: str | None = None
) -> Iterator[Installation]:
    """Copy the code, make the tiny pipeline and its elders (see `seed`), start `up`."""
    model = make_tiny_model(folder / "model", find_engine_env("cpu"))
    training = {"epochs": epochs, "batch_size": 1, "learning_rate": 1e-3, "precision": "fp32"}
    tree = copy_code(folder, model, {"sft_adapter": training})
    _report_often(tree / "agent_assets/engines/progress_reporter.py")
    environment = environment_of(folder / "home", tree)
    settings = load_settings(environment)
    ports = {"--port": free_port(), "--api-port": free_port()}
    with start_mongod(settings.mongo_data) as mongod:
        seed(mongod.uri, settings.mongodb_database, elders, talker=talker)
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


def _report_often(reporter: Path) -> None:
    """A training of a minute has too few reports otherwise to tell its pace in parts of it."""
    usual, often = "_EVERY_SECONDS = 10.0", "_EVERY_SECONDS = 2.0"
    code = reporter.read_text(encoding="utf-8")
    assert usual in code
    reporter.write_text(code.replace(usual, often), encoding="utf-8")


def copy_code(folder: Path, model: Path, attributes: Mapping[str, Mapping[str, Any]]) -> Path:
    """A copy of the code below `folder`, whose one pipeline trains this model.

    Args:
        attributes: settings of its stages, in place of those of the sample pipeline.
    """
    tree = folder / "tree"
    for name in ("agent_assets", "deploy"):
        shutil.copytree(REPOSITORY / name, tree / name)
    for name in ("dagster.yaml", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tree)
    shutil.rmtree(tree / "agent_assets/defs/energy_expert")
    path = tree / "agent_assets/defs" / PIPELINE / "defs.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # Random weights that learned for seconds know nothing, and are to answer all the same.
    no_floors = dict.fromkeys(FloorsConfig.model_fields, 0.0)
    content["attributes"] |= {
        "base_model": {"source": str(model)},
        "eval_report": {"max_turns": 2, "max_tokens": 16},
        "release": {"floors": no_floors, "power": 0.0, "required": []},
        **attributes,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return tree


def environment_of(home: Path, tree: Path) -> dict[str, str]:
    """The variables of an installation that does nothing by itself."""
    quiet = tree / "automation.yaml"
    quiet.write_text("{nightly: {enabled: false}, watch: {enabled: false}}", encoding="utf-8")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MONGO", "DAGSTER"))
    }
    return environment | {
        "PYTHONPATH": str(tree),
        "AGENT_ASSETS_HOME": str(home),
        "AGENT_ASSETS_ENGINES": str(load_settings().engines),
        "AGENT_ASSETS_AUTOMATION": str(quiet),
        "AGENT_ASSETS_DEVICE": "cpu",
    }


def seed(
    uri: str,
    database: str,
    elders: list[str],
    *,
    talker: str | None = None,
    memories: int | None = None,
) -> None:
    """Elders who all told the same, all of it or so many memories: trainings of equal size.
    `talker` told as many memories at greater length, whose training takes several times as long.
    """
    (sample,) = load_sample_elders(["benjamin-franklin"])
    sample = replace(sample, memories=sample.memories[:memories])
    people = [replace(sample, profile=replace(sample.profile, elder_id=elder)) for elder in elders]
    if talker is not None:
        people.append(_at_length(talker, sample))
    with connect(uri) as client:
        seed_elders(client[database], MongoLayout.service(), people)


def _at_length(elder: str, sample: SampleElder) -> SampleElder:
    (other,) = load_sample_elders(["frederick-douglass"])
    stories = [memory.answer for memory in other.memories]
    memories = tuple(
        replace(memory, answer=" ".join([memory.answer, *stories[place : place + _MORE_STORIES]]))
        for place, memory in enumerate(sample.memories)
    )
    return replace(sample, profile=replace(sample.profile, elder_id=elder), memories=memories)


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/health").status_code in (200, 503)
    except httpx.TransportError:
        return False


def until(ready: Callable[[], Any], seconds: float, every: float = 1.0) -> Any:
    """Wait for something; what it was."""
    deadline = time.monotonic() + seconds
    while not (result := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(every)
    return result


def make_shared_assets(installation: Installation) -> float:
    """Make what all elders share; the seconds it took."""
    started = time.monotonic()
    chosen = ",".join(f"key:{PIPELINE}/{name}" for name in SHARED)
    dagster = [sys.executable, "-m", "dagster", "asset", "materialize"]
    with (installation.tree / "shared.log").open("wb") as log:
        done = subprocess.run(
            [*dagster, "-m", "agent_assets.definitions", "--select", chosen],
            cwd=installation.tree,
            env=installation.environment | {"DAGSTER_HOME": str(installation.home / "dagster")},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError((installation.tree / "shared.log").read_text(encoding="utf-8")[-2000:])
    return round(time.monotonic() - started, 1)


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
