"""What the schedule and the sensor do at each tick: follow the elders, plan, choose the runs to
start, say why.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from agent_assets.automation.config import AutomationConfig
from agent_assets.automation.elders import PartitionChanges, follow_elders
from agent_assets.automation.planner import (
    Installation,
    Options,
    Snapshot,
    current_plan,
    with_words,
)
from agent_assets.automation.summary import report_summary, unusual
from agent_assets.planning.asset_partitions import CauseKind, Plan
from agent_assets.planning.history import (
    ELDER_TAG,
    PIPELINE_TAG,
    WANTED_TAG,
    ActiveRun,
    active_runs,
    started_keys,
)
from agent_assets.planning.requests import AgentPartition, Request, choose_requests
from agent_assets.release.repair import repair_store
from agent_assets.runs.device_queue import announce
from agent_assets.runs.orphans import release_abandoned_runs

GPU_TAG = "agent_assets/gpu"
CAUSE_TAG = "agent_assets/cause"
log = logging.getLogger("agent_assets.automation")
_WORDS = 20  # elders whose memories a tick compares to explain itself


@dataclass(frozen=True)
class Tick:
    """Runs to start, and in words what was seen and done."""

    requests: tuple[Request, ...]
    message: str
    snapshot: Snapshot
    run_tags: Mapping[str, Mapping[str, str]]  # by run key


def night(
    installation: Installation,
    instance: dg.DagsterInstance,
    config: AutomationConfig,
    at: datetime,
    *,
    date: str,
) -> Tick:
    """The nightly tick: contents of all elders are compared, what failed before `date` is tried
    again.
    """
    options = Options(full=True, shared_max_age_s=0.0, elders_budget_s=config.watch.read_seconds)
    for repair in repair_store(installation.store):
        log.warning("%s: %s", repair.what, repair.how)
    cap = config.nightly.max_runs_per_tick
    return _tick(installation, instance, config, at.timestamp(), options, cap, new_round=date)


def watch(
    installation: Installation, instance: dg.DagsterInstance, config: AutomationConfig, at: datetime
) -> Tick:
    """A tick between nights: contents of elders whose token moved and who stopped writing."""
    options = Options(
        shared_max_age_s=config.watch.shared_sources_s,
        elders_budget_s=config.watch.read_seconds,
        settled_s=config.watch.debounce_s,
    )
    cap = config.watch.max_runs_per_tick
    return _tick(installation, instance, config, at.timestamp(), options, cap, new_round=None)


def _tick(
    installation: Installation,
    instance: dg.DagsterInstance,
    config: AutomationConfig,
    now: float,
    options: Options,
    cap: int,
    *,
    new_round: str | None,
) -> Tick:
    snapshot = current_plan(installation, instance, now=now, options=options)
    release_abandoned_runs(instance)
    announce(instance)
    active = active_runs(instance)
    changes = follow_elders(
        installation,
        instance,
        snapshot.elders,
        policy=config.removed_elders,
        active=active,
        now=now,
    )
    plan = with_words(installation, snapshot, limit=_WORDS)
    report_summary(instance, installation.index, plan)
    causes = _first_causes(plan)
    # Last, so that nothing can fail between remembering a request and making it.
    chosen = choose_requests(
        snapshot.plan,
        installation.index,
        active=busy_agents(active, [graph.name for graph in installation.graphs]),
        started=lambda run_keys: started_keys(instance, run_keys),
        now=now,
        cap=cap,
        new_round=new_round,
    )
    tags = {
        request.run_key: run_tags(
            request, causes.get((request.run.pipeline, request.run.partition), ""), config
        )
        for request in chosen.chosen
    }
    message = _message(snapshot, changes, len(chosen.chosen), chosen.waiting, causes)
    return Tick(chosen.chosen, message, snapshot, tags)


def busy_agents(active: list[ActiveRun], pipelines: list[str]) -> set[AgentPartition]:
    """Agents with a run going on; a run that does not say its pipeline counts for all."""
    return {(name, run.partition) for run in active for name in (run.pipelines or pipelines)}


def run_tags(request: Request, cause: str, config: AutomationConfig) -> dict[str, str]:
    """Tags of a run: whose it is, what it should reach, how it is queued and retried, and why it
    was asked for.
    """
    tags = {
        PIPELINE_TAG: request.run.pipeline,
        WANTED_TAG: request.run.target_digest,
        "dagster/priority": str(request.priority),
        "dagster/max_retries": str(config.runs.max_retries),
    }
    if request.run.partition is not None:
        tags[ELDER_TAG] = request.run.partition
    if request.run.gpu:
        tags[GPU_TAG] = "true"
    if cause:
        tags[CAUSE_TAG] = cause[:200]
    return tags


def _first_causes(plan: Plan) -> dict[AgentPartition, str]:
    causes: dict[AgentPartition, str] = {}
    for entry in plan.asset_partitions:
        own = [cause.detail for cause in entry.causes if cause.kind is not CauseKind.UPSTREAM]
        if own:
            causes.setdefault((entry.pipeline, entry.partition), f"{entry.asset}: {own[0]}")
    return causes


def _message(
    snapshot: Snapshot,
    changes: PartitionChanges,
    started: int,
    waiting: Mapping[str, int],
    causes: Mapping[AgentPartition, str],
) -> str:
    """One paragraph: what a person reads under the tick in the UI."""
    plan = snapshot.plan
    parts = [
        f"{plan.fresh} fresh, {len(plan.asset_partitions)} stale or missing; {started} runs "
        "requested"
    ]
    common = Counter(causes.values())
    parts += [
        f"{cause} ({count} agents)" if count > 1 else cause
        for cause, count in common.most_common(3)
    ]
    parts += [f"{count} wait ({_REASONS[reason]})" for reason, count in sorted(waiting.items())]
    shared = [fan_out for fan_out in plan.fan_outs if fan_out.elders]
    if shared:
        names = ", ".join(f"{fan_out.pipeline}/{fan_out.asset}" for fan_out in shared)
        parts.append(
            f"shared, a change may reach up to {max(fan_out.elders for fan_out in shared)} elders: "
            f"{names}"
        )
    if changes.added:
        parts.append(f"{len(changes.added)} elders added")
    if changes.removed:
        parts.append(f"{len(changes.removed)} elders removed")
    parts += [f"{count} elders gone but kept: {reason}" for reason, count in changes.kept.items()]
    if snapshot.unsettled:
        parts.append(
            f"{snapshot.unsettled} elders changed a moment ago and are left to a later tick"
        )
    for name, elders in snapshot.elders.items():
        parts += [f"{name}: {line}" for line in unusual(elders)]
    parts += list(snapshot.problems)
    return "; ".join(parts) + f" ({snapshot.seconds:.1f} s)"


_REASONS = {
    "running": "a run is going on",
    "asked": "asked for a moment ago",
    "tried": "tried without success, again at night",
    "shared": "shared assets come first",
    "cap": "over the limit of this tick",
}
