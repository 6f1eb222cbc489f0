"""What a job makes: assets of one elder, or of a pipeline without elders, and what those need."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from agent_assets.errors import MemoryDataError, ServingError

if TYPE_CHECKING:
    import dagster as dg

    from agent_assets.automation.pipelines import Graph
    from agent_assets.automation.planner import Installation, Snapshot
    from agent_assets.planning.asset_partitions import Status
    from agent_assets.store.artifact_store import Artifact

_SHARED_AGE_SECONDS = 900.0
ROWS = ("elder_memories", "train_jsonl")
ROWS_TAG = "agent_assets/rows"  # of runs that make rows and train nothing
Wish = Literal["stale", "everything", "anew", "rows"]  # anew: trained again with another seed


class NoSuchElder(ServingError):
    """Nobody to train: unknown, without a usable answer, or not the caller's business. All look the
    same.
    """

    def __init__(self) -> None:
        super().__init__(
            "There is no elder of this id with a usable answer in MongoDB.",
            next_step="check the id, or let the elder answer a question first.",
        )


class RowsNotReady(ServingError):
    """Training rows are being made, or could not be made."""


@dataclass(frozen=True)
class JobAssets:
    """What a run materializes, and its tags. `assets` is empty when there is nothing to do."""

    pipeline: str
    partition: str | None
    assets: Sequence[str] = ()
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""


def assets_of_job(
    installation: "Installation", instance: "dg.DagsterInstance", agent: str, wish: Wish
) -> JobAssets:
    """What has to be made of an elder, or of a pipeline without elders. Shared assets that were
    never built are made in the same run, before the elder's own.

    Raises:
        NoSuchElder: nobody of that id is in MongoDB.
    """
    from agent_assets.pipeline.cutoff import ancestors
    from agent_assets.planning.asset_partitions import Status
    from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG, WANTED_TAG

    snapshot = _plan_of(installation, instance, agent)
    graph, partition = _whose(installation, snapshot, agent)
    _add_partition(installation, instance, partition)
    tags = {PIPELINE_TAG: graph.name} | ({ELDER_TAG: partition} if partition is not None else {})
    pending = _pending(snapshot, graph, None) if partition is not None else {}
    shared = [name for name, status in pending.items() if status is Status.MISSING]
    if wish == "stale":
        run = next(
            (r for r in snapshot.plan.runs if (r.pipeline, r.partition) == (graph.name, partition)),
            None,
        )
        if run is None:
            return JobAssets(graph.name, partition)
        own = list(run.assets if shared else run.own_assets or run.assets)
        wanted = {} if shared else {WANTED_TAG: run.target_digest}
        return JobAssets(graph.name, partition, [*shared, *own], tags | wanted)
    if wish == "rows":
        own = [name for name in ROWS if name in graph.stages]
        needed = {above for name in own for above in ancestors(graph.stages[name], graph.stages)}
        shared = [name for name in pending if name in needed]
        return JobAssets(graph.name, partition, [*shared, *own], tags | {ROWS_TAG: "true"})
    own = [s.name for s in graph.stages.values() if graph.partitioned(s) or partition is None]
    note = _trained_anew(installation, graph, partition) if wish == "anew" else ""
    return JobAssets(graph.name, partition, [*shared, *own], tags, note)


def fresh_rows(
    installation: "Installation", instance: "dg.DagsterInstance", agent: str
) -> "Artifact | None":
    """The training rows from what an elder has told by now; None where they have to be made first.

    Raises:
        NoSuchElder: nobody of that id is in MongoDB.
    """
    from agent_assets.planning.history import latest_materialization
    from agent_assets.store.artifact_store import ArtifactKey

    _check_known(installation, agent)  # a plan reads far more than one elder
    snapshot = _plan_of(installation, instance, agent)
    graph, partition = _whose(installation, snapshot, agent)
    if not _pending(snapshot, graph, partition).keys().isdisjoint(ROWS):
        return None
    rows = ROWS[-1]
    recorded = latest_materialization(instance, graph.spec.key(rows), partition)
    if recorded is None:
        return None
    return installation.store.find(ArtifactKey(graph.name, rows, partition), recorded.fingerprint)


def _trained_anew(installation: "Installation", graph: "Graph", partition: str | None) -> str:
    """Have the agent trained with another seed; in words."""
    from agent_assets.store.retrains import count_retrain

    times = count_retrain(installation.store, graph.name, partition or graph.name)
    seed = graph.spec.config.sft_adapter.seed + times
    return f"Trained anew with seed {seed} although nothing has to have changed."


def _add_partition(
    installation: "Installation", instance: "dg.DagsterInstance", partition: str | None
) -> None:
    from agent_assets.automation.elders import PARTITIONS, add_elders
    from agent_assets.planning.history import known_partitions

    if partition is not None:
        new = {partition} - set(known_partitions(instance, PARTITIONS))
        add_elders(installation, instance, new)


def _plan_of(
    installation: "Installation", instance: "dg.DagsterInstance", agent: str
) -> "Snapshot":
    from agent_assets.automation.planner import Options, current_plan

    options = Options(shared_max_age_s=_SHARED_AGE_SECONDS, elders=(agent,))
    return current_plan(installation, instance, now=time.time(), options=options)


def _check_known(installation: "Installation", agent: str) -> None:
    """Ask MongoDB for one elder.

    Raises:
        NoSuchElder: they have no usable answer.
    """
    from agent_assets.planning.elders import UNUSABLE

    for graph in installation.graphs:
        if not graph.spec.partitioned:
            if graph.name == agent:
                return
            continue
        try:
            contents = list(installation.elder_source(graph).contents([agent]))
        except MemoryDataError:  # no elder of this pipeline can be called so
            continue
        if any(content.digest != UNUSABLE for content in contents):
            return
    raise NoSuchElder


def _pending(snapshot: "Snapshot", graph: "Graph", partition: str | None) -> dict[str, "Status"]:
    """What is not fresh, parents first."""
    return {
        entry.asset: entry.status
        for entry in snapshot.plan.asset_partitions
        if (entry.pipeline, entry.partition) == (graph.name, partition)
    }


def _whose(
    installation: "Installation", snapshot: "Snapshot", agent: str
) -> tuple["Graph", str | None]:
    graphs = {graph.name: graph for graph in installation.graphs}
    if agent in graphs and not graphs[agent].spec.partitioned:
        return graphs[agent], None
    for name, elders in sorted(snapshot.elders.items()):
        if agent in elders.digests:
            return graphs[name], agent
    if snapshot.problems and not snapshot.elders:
        raise ServingError(snapshot.problems[0], next_step="check MongoDB.")
    raise NoSuchElder
