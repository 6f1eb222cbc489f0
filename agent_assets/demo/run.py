"""`agent-assets demo`: the sample agents, trained and scored through Dagster, with progress and a
table at the end.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import dagster as dg
from rich.table import Table

from agent_assets.automation.commands import opened
from agent_assets.automation.elders import add_elders
from agent_assets.automation.execute import Order, RunOutcome, console, execute_here
from agent_assets.automation.pipelines import load_graphs
from agent_assets.automation.planner import Installation
from agent_assets.demo.sample_elders import DEMO_ELDERS, load_sample_elders, seed_elders
from agent_assets.errors import ConfigError
from agent_assets.evaluation.report_schema import read_report
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.retry import Retry, connect, with_retries
from agent_assets.planning.history import PIPELINE_TAG, latest_materialization
from agent_assets.projects.project import load_definitions, require_project
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore

ENERGY = "energy_expert"
PERSONA_PIPELINE = "elder_companion"
SHOWN_METRICS = {
    "tool calls": "tool_call_accuracy",
    "tool calls, new wording": "tool_call_accuracy_unseen_wording",
    "recall open": "recall_open",
    "recall closed": "recall_closed",
    "abstention": "abstention",
}


def run_demo(settings: Settings, *, elders: list[str] | None) -> int:
    """Load the sample elders, materialize both pipelines, print scores and reports.

    Returns:
        0 when every agent was made, 1 otherwise.

    Raises:
        ConfigError: the project has no sample pipelines.
    """
    _check_samples()
    started = time.monotonic()
    with seeded_installation(settings, elders) as (installation, instance, counts):
        words = ", ".join(f"{elder} ({count})" for elder, count in counts.items())
        console.print(f"{len(counts)} sample elders in MongoDB: {words}")
        agents = [(ENERGY, None), *((PERSONA_PIPELINE, elder) for elder in sorted(counts))]
        outcomes = [_materialize(instance, *agent) for agent in agents]
        _print_summary(instance, installation.store, outcomes)
    built = sum(outcome.built for outcome in outcomes)
    console.print(
        f"\n{time.monotonic() - started:.0f} s, {built} artifacts built, the rest reused."
    )
    console.print("Open the UI with: agent-assets up    (then http://127.0.0.1:3000)")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _check_samples() -> None:
    missing = {ENERGY, PERSONA_PIPELINE} - {graph.name for graph in load_graphs()}
    if missing:
        raise ConfigError(
            f"This project has no sample pipeline {' and no '.join(sorted(missing))}.",
            next_step="`agent-assets refresh` trains its own; `agent-assets init DIR` writes a "
            "project with the samples.",
        )


def seed_sample_elders(settings: Settings, elders: list[str] | None) -> dict[str, int]:
    """Write the sample elders into MongoDB, starting the embedded one when none is set. Counts of
    memories by elder.
    """
    with seeded_installation(settings, elders) as (_, _, counts):
        return counts


@contextmanager
def seeded_installation(
    settings: Settings, elders: Iterable[str] | None
) -> Iterator[tuple[Installation, dg.DagsterInstance, dict[str, int]]]:
    """The installation and its Dagster, with the sample elders (those of the demo, or those named)
    in MongoDB and as partitions.

    Raises:
        ConfigError: there is no sample elder of one of these ids.
        MongoUnavailable: MongoDB does not answer, or refuses the user to write.
    """
    chosen = load_sample_elders(DEMO_ELDERS if elders is None else elders)
    with opened(settings) as (installation, instance):
        mongo = installation.mongo
        with connect(mongo.uri) as client:
            layout = MongoLayout.service()
            with_retries(
                client,
                lambda: seed_elders(client[mongo.database], layout, chosen),
                Retry(),
                writing=True,
            )
        counts = {elder.profile.elder_id: len(elder.memories) for elder in chosen}
        add_elders(installation, instance, counts)
        yield installation, instance, counts


def _materialize(instance: dg.DagsterInstance, pipeline: str, elder: str | None) -> RunOutcome:
    """Materialize what one agent needs, as one run; the shared assets of a partitioned pipeline as
    a run before it.
    """
    definitions = load_definitions(require_project(load_settings().project))
    nodes = definitions.get_repository_def().assets_defs_by_key
    names = {key.path[-1] for key in nodes if key.path[0] == pipeline}
    own = {
        name for name in names if nodes[dg.AssetKey([pipeline, name])].partitions_def is not None
    }
    done = RunOutcome(pipeline, elder)
    for assets, partition in ((names - own, None), (own, elder)):
        if assets and not done.failed:
            order = Order(pipeline, partition, tuple(assets), {PIPELINE_TAG: pipeline})
            run = execute_here(instance, definitions, order)
            done = RunOutcome(pipeline, elder, {**done.stages, **run.stages}, failed=run.failed)
    return done


def _print_summary(
    instance: dg.DagsterInstance, store: ArtifactStore, outcomes: list[RunOutcome]
) -> None:
    table = Table("agent", title="Held-out scores: base -> SFT (-> RL)", title_justify="left")
    for column in (*SHOWN_METRICS, "rows", "rejected"):
        table.add_column(column, justify="right")
    stages = list(dict.fromkeys(stage for outcome in outcomes for stage in outcome.stages))
    seconds = Table("agent", title="Seconds per stage (0: reused)", title_justify="left")
    for stage in stages:
        seconds.add_column(stage, justify="right")
    reports = []
    for outcome in outcomes:
        seconds.add_row(
            str(outcome), *(f"{outcome.stages.get(stage, ('', 0.0))[1]:.0f}" for stage in stages)
        )
        report = None if outcome.failed else _latest(instance, store, outcome, "eval_report")
        rows = _latest(instance, store, outcome, "train_jsonl")
        if report is None or rows is None:
            table.add_row(str(outcome), *["failed"] * (len(SHOWN_METRICS) + 2))
            continue
        scores = read_report(report.path)
        variants = [scores.variants[name] for name in (scores.reference, *scores.trained)]
        cells = [
            _change([variant.means[metric] for variant in variants])
            for metric in SHOWN_METRICS.values()
        ]
        table.add_row(
            str(outcome),
            *cells,
            *(str(rows.manifest.summary[name]) for name in ("rows", "rejected")),
        )
        reports.append((outcome, report))
    console.print()
    console.print(table)
    console.print(seconds)
    for outcome, report in reports:
        for line in filter(None, map(report.manifest.summary.get, ("peers", "rl"))):
            console.print(f"{outcome}: {line}", markup=False)
        console.print(f"report {outcome}: {report.path / 'report.html'}")


def _change(values: list[float | None]) -> str:
    """A score of one variant after the other: base, SFT and, where there is one, RL."""
    return "-" if None in values else " -> ".join(f"{value:.2f}" for value in values)


def _latest(
    instance: dg.DagsterInstance, store: ArtifactStore, agent: RunOutcome, asset: str
) -> Artifact | None:
    recorded = latest_materialization(
        instance, dg.AssetKey([agent.pipeline, asset]), agent.partition
    )
    key = ArtifactKey(agent.pipeline, asset, agent.partition)
    return None if recorded is None else store.find(key, recorded.fingerprint)
