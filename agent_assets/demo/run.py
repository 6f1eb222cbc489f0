"""`agent-assets demo`: the sample agents, trained and scored through Dagster, with progress and a table at the end."""

import json
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent_assets.abandoned import process_tag, release_abandoned_runs
from agent_assets.instance import open_instance, prepare_dagster_home
from agent_assets.planning.history import latest_materialization
from agent_assets.progress import RunProgress
from agent_assets.services import mongodb
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore

ENERGY = "energy_expert"
ELDERS = "elder_companion"
PARTITIONS = "elders"

console = Console(highlight=False)


@dataclass(frozen=True)
class Agent:
    """One agent of the demo: a pipeline, and the elder in a partitioned one."""

    pipeline: str
    elder: str | None = None

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.elder}" if self.elder else self.pipeline


@dataclass
class Outcome:
    """What one run of the demo did: per stage, built or reused and the seconds it took."""

    agent: Agent
    stages: dict[str, tuple[str, float]]
    failed: str | None


def run_demo(settings: Settings, *, elders: list[str] | None) -> int:
    """Load the sample elders, materialize both pipelines, print scores and reports.

    Returns:
        0 when every agent was made, 1 otherwise.
    """
    started = time.monotonic()
    # Pipes' message readers are a preview in this Dagster version; the version is pinned.
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    with mongodb(settings) as environment, _environment(environment):
        counts = seed_sample_elders_at(environment["MONGODB_URI"], settings.mongodb_database, elders)
        console.print(f"{len(counts)} sample elders in MongoDB: " + ", ".join(f"{k} ({v})" for k, v in counts.items()))
        prepare_dagster_home(settings)
        with open_instance(settings) as instance:
            release_abandoned_runs(instance)
            instance.add_dynamic_partitions(PARTITIONS, sorted(counts))
            agents = [Agent(ENERGY), *(Agent(ELDERS, elder) for elder in sorted(counts))]
            outcomes = [_materialize(instance, agent) for agent in agents]
            _print_summary(instance, settings, outcomes)
    built = sum(kind == "built" for outcome in outcomes for kind, _ in outcome.stages.values())
    console.print(f"\n{time.monotonic() - started:.0f} s, {built} artifacts built, the rest reused.")
    console.print("Open the UI with: make up    (then http://127.0.0.1:3000)")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def seed_sample_elders(settings: Settings, elders: list[str] | None) -> dict[str, int]:
    """Write the sample elders into MongoDB, starting the embedded one when none is set. Counts of memories by elder."""
    with mongodb(settings) as environment:
        counts = seed_sample_elders_at(environment["MONGODB_URI"], settings.mongodb_database, elders)
    prepare_dagster_home(settings)
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(PARTITIONS, sorted(counts))
    return counts


def seed_sample_elders_at(uri: str, database: str, elders: list[str] | None) -> dict[str, int]:
    """Write the sample elders (all, or those named) into one database. Counts of memories by elder."""
    from pymongo import MongoClient

    from agent_assets.demo.sample_elders import load_sample_elders, seed_elders
    from resources.mongo_config import MongoLayout

    chosen = load_sample_elders(elders)
    with MongoClient[dict[str, Any]](uri) as client:
        seed_elders(client[database], MongoLayout.service(), chosen)
    return {elder.profile.elder_id: len(elder.memories) for elder in chosen}


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """The code location reads its settings from the environment, as it does in every other process."""
    import os

    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _materialize(instance: dg.DagsterInstance, agent: Agent) -> Outcome:
    """Materialize what one agent needs, as one run; the shared assets of a partitioned pipeline as a run before it."""
    from agent_assets.definitions import defs

    definitions = defs()
    repository = definitions.get_repository_def()
    partitioned = {key for key, node in repository.assets_defs_by_key.items() if node.partitions_def is not None}
    keys = {key for key in repository.assets_defs_by_key if key.path[0] == agent.pipeline}
    parts = [(keys - partitioned, None), (keys & partitioned, agent.elder)]
    outcome = Outcome(agent, {}, None)
    for selection, partition in parts:
        if not selection or outcome.failed:
            continue
        job = definitions.resolve_job_def(f"{agent.pipeline}_job")
        _run(instance, job, agent, selection, partition, outcome)
    return outcome


def _run(
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    agent: Agent,
    selection: set[dg.AssetKey],
    partition: str | None,
    outcome: Outcome,
) -> None:
    run_id = str(uuid.uuid4())
    progress = RunProgress(run_id)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with _shown(instance, agent, progress):
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=partition,
            asset_selection=sorted(selection),
            raise_on_error=False,
            run_config=quiet,
            tags=process_tag(),
        )
    progress.refresh(instance)
    outcome.stages |= progress.outcomes
    if not result.success:
        failures = [event for event in result.all_events if event.is_step_failure]
        errors = [event.step_failure_data.error for event in failures]
        if any(error is not None and error.cls_name == "DagsterExecutionInterruptedError" for error in errors):
            raise KeyboardInterrupt  # Ctrl-C ended the run; it ends the demo, too
        outcome.failed = "; ".join(_message(error) for error in errors if error is not None) or "failed"
        console.print(f"[red]{agent}: {outcome.failed}[/red]")


def _message(error: Any) -> str:
    """The innermost message of a step's failure: ours says what to do next."""
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


@contextmanager
def _shown(instance: dg.DagsterInstance, agent: Agent, progress: RunProgress) -> Iterator[None]:
    """Show the progress of a run while the block executes it: one live line on a terminal, plain lines elsewhere."""
    done = threading.Event()
    started = time.monotonic()

    def follow() -> None:
        last = ""
        with Live(Text(""), console=console, refresh_per_second=4, transient=True, auto_refresh=True) as live:
            while not done.wait(0.5):
                progress.refresh(instance)
                line = _line(agent, progress)
                live.update(Text(f"{line}   {time.monotonic() - started:.0f} s"))
                if not console.is_terminal and line != last:
                    console.print(line)
                last = line

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        progress.refresh(instance)
        kinds = [
            f"{name} {kind}" + (f" {s:.0f} s" if kind == "built" else "")
            for name, (kind, s) in progress.outcomes.items()
        ]
        console.print(f"{agent}: " + ", ".join(kinds))


def _line(agent: Agent, progress: RunProgress) -> str:
    detail = progress.detail
    parts = [f"{agent}: {progress.stage or 'starting'}"]
    if detail.get("stage"):
        parts.append(str(detail["stage"]))
    if detail.get("total_steps"):
        parts.append(f"step {detail.get('step', 0)}/{detail['total_steps']}")
    if isinstance(loss := detail.get("loss"), float):
        parts.append(f"loss {loss:.3f}")
    if isinstance(left := detail.get("eta_seconds"), int | float):
        parts.append(f"{left:.0f} s left")
    return "  ".join(parts)


def _print_summary(instance: dg.DagsterInstance, settings: Settings, outcomes: list[Outcome]) -> None:
    store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
    table = Table(title="Held-out scores: base -> trained", title_justify="left")
    for column in (
        "agent",
        "tool calls",
        "tool calls, new wording",
        "recall open",
        "recall closed",
        "abstention",
        "rows",
        "rejected",
    ):
        table.add_column(column, justify="left" if column == "agent" else "right")
    seconds = Table(title="Seconds per stage (0: reused)", title_justify="left")
    stages = list(dict.fromkeys(stage for outcome in outcomes for stage in outcome.stages))
    for column in ("agent", *stages):
        seconds.add_column(column, justify="left" if column == "agent" else "right")
    reports = []
    for outcome in outcomes:
        seconds.add_row(str(outcome.agent), *(f"{outcome.stages.get(stage, ('', 0.0))[1]:.0f}" for stage in stages))
        report = _latest(instance, store, outcome.agent, "eval_report")
        rows = _latest(instance, store, outcome.agent, "train_jsonl")
        if report is None or rows is None:
            table.add_row(str(outcome.agent), *["failed"] * 7)
            continue
        scores = json.loads((report.path / "report.json").read_text(encoding="utf-8"))["systems"]
        metrics = (
            "tool_call_accuracy",
            "tool_call_accuracy_unseen_wording",
            "recall_open",
            "recall_closed",
            "abstention",
        )
        cells = [_pair(scores["base"][metric], scores["sft"][metric]) for metric in metrics]
        table.add_row(
            str(outcome.agent), *cells, str(rows.manifest.summary["rows"]), str(rows.manifest.summary["rejected"])
        )
        reports.append((outcome.agent, report.path / "report.html"))
    console.print()
    console.print(table)
    console.print(seconds)
    for agent, path in reports:
        console.print(f"report {agent}: {path}", soft_wrap=True)


def _pair(base: float | None, trained: float | None) -> str:
    if base is None or trained is None:
        return "-"
    return f"{base:.2f} -> {trained:.2f}"


def _latest(instance: dg.DagsterInstance, store: ArtifactStore, agent: Agent, asset: str) -> Artifact | None:
    recorded = latest_materialization(instance, dg.AssetKey([agent.pipeline, asset]), agent.elder)
    return (
        None if recorded is None else store.find(ArtifactKey(agent.pipeline, asset, agent.elder), recorded.fingerprint)
    )
