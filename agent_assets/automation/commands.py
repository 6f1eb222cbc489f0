"""`agent-assets plan`, `refresh` and `backfill`."""

import fnmatch
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
import dagster as dg

from agent_assets.automation.daemon_queue import open_queue
from agent_assets.automation.elders import PARTITIONS, add_elders
from agent_assets.automation.execute import Order, RunOutcome, execute_here, summary_lines
from agent_assets.automation.planner import (
    Installation,
    Options,
    Snapshot,
    current_plan,
    load_installation,
    with_words,
)
from agent_assets.automation.summary import unusual
from agent_assets.automation.ticks import busy_agents
from agent_assets.errors import ConfigError
from agent_assets.planning.asset_partitions import Plan, PlannedRun
from agent_assets.planning.history import (
    ELDER_TAG,
    PIPELINE_TAG,
    WANTED_TAG,
    active_runs,
    known_partitions,
)
from agent_assets.planning.render import plan_json, plan_text, runs_text
from agent_assets.planning.requests import AgentPartition
from agent_assets.projects.project import load_definitions, require_project
from agent_assets.runs.installation import mongodb_environment
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.orphans import release_abandoned_runs
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import ArtifactKey
from agent_assets.up_locks import services_ended


@dataclass(frozen=True)
class Scope:
    """What a command is about; () means all. `cached_sources` takes what tool servers and weights
    said last time.
    """

    pipelines: tuple[str, ...] = ()
    elders: tuple[str, ...] = ()
    cached_sources: bool = False


def show_plan(settings: Settings, scope: Scope, *, as_json: bool, with_fresh: bool) -> int:
    """Print the plan. Exit code 1 when a source could not be looked at."""
    with opened(settings) as (installation, instance):
        snapshot = _look(installation, instance, scope)
        plan = with_words(installation, snapshot)
    if as_json:
        content = plan_json(
            plan,
            seconds=snapshot.seconds,
            with_fresh=with_fresh,
            problems=snapshot.problems,
            set_aside={name: elders.set_aside for name, elders in snapshot.elders.items()},
        )
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        for line in [*plan_text(plan), *_fresh_lines(plan, with_fresh)]:
            click.echo(line)
        _report(snapshot)
    return 1 if snapshot.problems else 0


def run_plan(settings: Settings, scope: Scope, *, dry_run: bool) -> int:
    """Start the runs of the plan, shared assets first, and show their progress. Exit code 1 when
    one failed.
    """
    with opened(settings) as (installation, instance):
        snapshot = _look(installation, instance, scope)
        _report(snapshot)
        plan = with_words(installation, snapshot)
        for line in plan_text(plan) if dry_run else runs_text(plan.runs, fresh=plan.fresh):
            click.echo(line)
        if dry_run:
            return 0
        shared = [_order(run) for run in plan.runs if run.partition is None]
        outcomes = _execute(installation, instance, shared)
        if shared:  # only what really changed goes on
            again = Scope(scope.pipelines, scope.elders, cached_sources=True)
            plan = current_plan(
                installation, instance, now=time.time(), options=_options(again)
            ).plan
        elders = [_order(run) for run in plan.runs if run.partition is not None]
        outcomes += _execute(installation, instance, elders)
    return _finish(outcomes)


def backfill_elders(settings: Settings, scope: Scope, *, pattern: str | None, dry_run: bool) -> int:
    """Materialize all assets of chosen elders; the store reuses what is fresh. Exit code 1 when a
    run failed.
    """
    with opened(settings) as (installation, instance):
        snapshot = _look(installation, instance, scope)
        _report(snapshot)
        chosen = _chosen(installation, snapshot, scope, pattern)
        for name, elders in chosen.items():
            click.echo(f"{name}: {len(elders)} elders")
        if dry_run:
            return 0
        shared = [
            _order(run)
            for run in snapshot.plan.runs
            if run.partition is None and run.pipeline in chosen
        ]
        outcomes = _execute(installation, instance, shared)
        assets = {
            graph.name: tuple(
                stage.name for stage in graph.stages.values() if graph.partitioned(stage)
            )
            for graph in installation.graphs
        }
        orders = [
            Order(
                name,
                elder,
                assets[name],
                {PIPELINE_TAG: name, ELDER_TAG: elder, "agent_assets/backfill": "true"},
            )
            for name, elders in chosen.items()
            for elder in elders
        ]
        outcomes += _execute(installation, instance, orders)
    return _finish(outcomes)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Installation, dg.DagsterInstance]]:
    """The installation with its MongoDB (the embedded one is started if none is set) and its
    Dagster.
    """
    with mongodb_environment(settings) as reachable:
        prepare_dagster_home(reachable)
        installation = load_installation(reachable)
        try:
            with open_instance(reachable) as instance:
                with services_ended(reachable) as ended:
                    # PostgreSQL may hold the runs of another machine's services.
                    gone = ended and not reachable.postgres_url
                    release_abandoned_runs(instance, code_server_gone=gone)
                yield installation, instance
        finally:
            installation.mongo.close()


def _options(scope: Scope) -> Options:
    age = float("inf") if scope.cached_sources else 0.0
    return Options(shared_max_age_s=age, pipelines=scope.pipelines, elders=scope.elders)


def _look(installation: Installation, instance: dg.DagsterInstance, scope: Scope) -> Snapshot:
    known = [graph.name for graph in installation.graphs]
    unknown = sorted(set(scope.pipelines) - set(known))
    if unknown:
        raise ConfigError(
            f"There is no pipeline {unknown[0]!r}.", next_step=f"choose from {', '.join(known)}."
        )
    snapshot = current_plan(installation, instance, now=time.time(), options=_options(scope))
    here = {elder for elders in snapshot.elders.values() for elder in elders.digests}
    absent = sorted(set(scope.elders) - here)
    if absent and snapshot.elders:
        raise ConfigError(
            f"There is no elder {absent[0][:80]!r} with a usable answer in MongoDB.",
            next_step="check the id; `agent-assets plan --all` names everyone.",
        )
    return snapshot


def _chosen(
    installation: Installation, snapshot: Snapshot, scope: Scope, pattern: str | None
) -> dict[str, list[str]]:
    """Elders by partitioned pipeline."""
    chosen = {
        name: sorted(
            elder
            for elder in elders.digests
            if (not scope.elders or elder in scope.elders)
            and (pattern is None or fnmatch.fnmatch(elder, pattern))
        )
        for name, elders in snapshot.elders.items()
    }
    if not any(chosen.values()):
        who = (
            f"No elder matches '{pattern}'."
            if pattern
            else "There is no elder with a usable answer in MongoDB."
        )
        raise ConfigError(who, next_step="`agent-assets plan --all` names everyone.")
    return chosen


def _order(run: PlannedRun) -> Order:
    tags = {PIPELINE_TAG: run.pipeline, WANTED_TAG: run.target_digest}
    if run.partition:
        tags[ELDER_TAG] = run.partition
    return Order(run.pipeline, run.partition, run.assets, tags)


def _execute(
    installation: Installation, instance: dg.DagsterInstance, orders: Sequence[Order]
) -> list[RunOutcome]:
    """In the queue of a daemon that is alive, else here, run after run. One that fails stops nobody
    else.
    """
    if not orders:
        return []
    elders = {order.partition for order in orders if order.partition}
    add_elders(installation, instance, elders - set(known_partitions(instance, PARTITIONS)))
    names = [graph.name for graph in installation.graphs]
    with open_queue(instance, load_settings()) as queue:
        if queue is not None:
            click.echo(
                "A daemon is running: the runs go through its queue. Ctrl-C stops following, not "
                "the runs."
            )
            busy = busy_agents(active_runs(instance), names)
            queued = queue.submit_all([order for order in orders if _free(order, busy)])
    if queue is not None:
        return queued.follow()
    click.echo(
        "No `agent-assets up` takes runs: they are executed here, one after the other. Ctrl-C "
        "cancels the one that goes on."
    )
    definitions = _definitions()
    outcomes = []
    for number, order in enumerate(orders, start=1):
        click.echo(f"[{number}/{len(orders)}] {order.label}")
        if _free(order, busy_agents(active_runs(instance), names)):
            outcomes.append(execute_here(instance, definitions, order))
    return outcomes


def _free(order: Order, busy: set[AgentPartition]) -> bool:
    going = (order.pipeline, order.partition) in busy
    if going:
        click.echo(f"{order.label}: a run is going on already, or waits for `agent-assets up`")
    return not going


def _definitions() -> dg.Definitions:
    return load_definitions(require_project(load_settings().project))


def _finish(outcomes: Sequence[RunOutcome]) -> int:
    for line in summary_lines(outcomes):
        click.echo(line)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _report(snapshot: Snapshot) -> None:
    for problem in snapshot.problems:
        click.echo(f"not looked at: {problem}", err=True)
    for name, elders in snapshot.elders.items():
        gone = [f"{len(elders.gone)} elders gone from MongoDB"] if elders.gone else []
        for line in [*unusual(elders), *gone]:
            click.echo(f"{name}: {line}", err=True)


def _fresh_lines(plan: Plan, with_fresh: bool) -> Iterable[str]:
    if not with_fresh:
        return []
    keys = [
        ArtifactKey(entry.pipeline, entry.asset, entry.partition)
        for entry in plan.fresh_asset_partitions()
    ]
    return [f"fresh: {key}" for key in keys]
