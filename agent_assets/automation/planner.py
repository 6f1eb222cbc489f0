"""The plan of this installation: pipelines from `defs/`, history from Dagster, elders and tools
from their sources.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from agent_assets.automation.pipelines import Graph, load_graphs
from agent_assets.automation.sources import MongoElders, SharedSources, read_shared
from agent_assets.conversations.memories import ElderProfile, Memory
from agent_assets.errors import AgentAssetsError
from agent_assets.pipeline.assets import ELDERS
from agent_assets.pipeline.exam_source import exam_versions, has_exams
from agent_assets.pipeline.stages.elder_memories import STAGE as MEMORIES
from agent_assets.pipeline.stages.eval_report import STAGE as REPORT
from agent_assets.pipeline.stages.train_jsonl import STAGE as ROWS
from agent_assets.planning.asset_partitions import Plan
from agent_assets.planning.describe import Describer
from agent_assets.planning.elders import Elders, ElderSource, check_elders
from agent_assets.planning.fingerprint import source_version
from agent_assets.planning.history import DagsterLog, known_partitions
from agent_assets.planning.index import PlanIndex
from agent_assets.planning.plan import Present, make_plan
from agent_assets.planning.recorded import read_inputs, read_latest
from agent_assets.release.pointer import agent_of, all_agents
from agent_assets.release.records import STAGE as RELEASE
from agent_assets.reviews.decisions import decision_versions
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import UNPARTITIONED, ArtifactStore
from agent_assets.store.manifest import MANIFEST_FILE
from agent_assets.store.retrains import as_inputs, retrains
from agent_assets.store.tombstones import incarnations

if TYPE_CHECKING:
    from agent_assets.engines.local_engines import LocalEngines
    from agent_assets.mongo.database import MemoryDatabase


@dataclass(frozen=True)
class Installation:
    """What the plan works on. `index` is the plan's own memory of what it read."""

    graphs: tuple[Graph, ...]
    store: ArtifactStore
    mongo: "MemoryDatabase"
    engines: "LocalEngines"
    index: PlanIndex

    def elder_source(self, graph: Graph) -> ElderSource:
        """Where the elders of a partitioned pipeline come from."""
        return MongoElders(self.mongo, graph)


@dataclass(frozen=True)
class Options:
    """How closely to look.

    Args:
        full: read all content, not only that of elders whose change token moved; and list a remote
            store.
        shared_max_age_s: take what tool servers and weight files said when it is younger.
        elders_budget_s: longest time to read contents of changed elders.
        settled_s: leave out elders who changed less than this long ago.
        pipelines: only these; () for all.
        elders: only these; () for all.
    """

    full: bool = False
    shared_max_age_s: float = 0.0
    elders_budget_s: float = float("inf")
    settled_s: float = 0.0
    pipelines: tuple[str, ...] = ()
    elders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A plan, and what was seen on the way.

    Args:
        elders: by partitioned pipeline; a pipeline whose elders could not be read is missing.
        unsettled: elders left out because they changed a moment ago.
        problems: sources that could not be read; they count as unchanged.
    """

    plan: Plan
    elders: Mapping[str, Elders]
    unsettled: int
    shared: SharedSources
    problems: tuple[str, ...]
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)


def load_installation(settings: Settings) -> Installation:
    """The installation of these settings."""
    from agent_assets.engines.local_engines import LocalEngines
    from agent_assets.mongo.database import MemoryDatabase

    return Installation(
        graphs=tuple(load_graphs()),
        store=ArtifactStore(settings.store, cache=settings.home / "store-cache"),
        mongo=MemoryDatabase(uri=settings.mongodb_uri or "", database=settings.mongodb_database),
        engines=LocalEngines(
            environments=str(settings.engines), device=settings.device, home=str(settings.home)
        ),
        index=PlanIndex(settings.home / "plan"),
    )


def current_plan(
    installation: Installation,
    instance: dg.DagsterInstance,
    *,
    now: float,
    options: Options | None = None,
) -> Snapshot:
    """Look at the sources and at what Dagster recorded, and compare."""
    options = options or Options()
    clock = _Clock()
    graphs = [
        graph
        for graph in installation.graphs
        if not options.pipelines or graph.name in options.pipelines
    ]
    partitions = known_partitions(instance, str(ELDERS.name))
    elders, problems = _elders(installation, graphs, partitions, now, options)
    reviews = decision_versions(installation.mongo.db) if elders else {}
    clock.lap("elders")
    shared = read_shared(
        graphs,
        installation.mongo,
        installation.engines,
        installation.index,
        now=now,
        max_age_s=options.shared_max_age_s,
    )
    clock.lap("shared sources")
    settled = {name: _settled(members, now, options) for name, members in elders.items()}
    facts = [graph.facts(settled.get(graph.name, ())) for graph in graphs]
    index = installation.index
    latest = read_latest(DagsterLog(instance), index, facts)
    clock.lap("history")
    plan = make_plan(
        facts,
        latest,
        {
            graph.name: _versions(graph, elders.get(graph.name), shared, reviews)
            | retrain_sources(graph, installation.store)
            for graph in graphs
        },
        inputs_of=lambda ids: read_inputs(index, ids),
        incarnations=incarnations(installation.store),
        present=presence(installation.store, listing=options.full),
    )
    clock.lap("plan")
    return Snapshot(
        plan=plan,
        elders=elders,
        unsettled=sum(
            len(members.digests) - len(settled[name]) for name, members in elders.items()
        ),
        shared=shared,
        problems=(*problems, *shared.problems),
        seconds=clock.total,
        parts=clock.parts,
    )


def with_words(installation: Installation, snapshot: Snapshot, *, limit: int = 200) -> Plan:
    """The plan with causes in words; the memories of at most `limit` elders are compared."""
    graphs = {graph.name: graph for graph in installation.graphs}

    def current(
        pipeline: str, elders: list[str]
    ) -> Iterator[tuple[str, ElderProfile, Iterable[Memory]]]:
        for record in MongoElders(installation.mongo, graphs[pipeline]).records(elders):
            yield record.profile.elder_id, record.profile, record.memories

    tools = {pipeline: text for (pipeline, _), text in snapshot.shared.data.items()}
    return Describer(installation.store, current, tools, limit).describe(snapshot.plan)


def presence(store: ArtifactStore, *, listing: bool) -> Present | None:
    """Whether an artifact is there, and of a release its pointer, too: one that is lost with its
    history has to be judged again. A remote store is only asked when it may be listed as a whole.
    """
    if store.local:
        root, known = store.root, set(all_agents(store))

        def on_disk(pipeline: str, asset: str, partition: str | None, fingerprint: str) -> bool:
            if asset == RELEASE and agent_of(pipeline, partition) not in known:
                return False
            folder = f"{root}/{pipeline}/{asset}/{partition or UNPARTITIONED}/{fingerprint}"
            return os.path.exists(f"{folder}/{MANIFEST_FILE}")  # noqa: PTH110  # 50,000 times: a Path costs four times more

        return on_disk
    if not listing:
        return None
    store.filesystem.invalidate_cache()
    manifests = {
        str(path) for path in store.filesystem.glob(f"{store.root}/*/*/*/*/{MANIFEST_FILE}")
    }

    def listed(pipeline: str, asset: str, partition: str | None, fingerprint: str) -> bool:
        return (
            f"{store.root}/{pipeline}/{asset}/{partition or UNPARTITIONED}/"
            f"{fingerprint}/{MANIFEST_FILE}" in manifests
        )

    return listed


def _elders(
    installation: Installation,
    graphs: Iterable[Graph],
    partitions: list[str],
    now: float,
    options: Options,
) -> tuple[dict[str, Elders], list[str]]:
    """Elders by pipeline. Pipelines that read the same elders share one look."""
    elders: dict[str, Elders] = {}
    by_scope: dict[str, Elders] = {}
    problems: list[str] = []
    for graph in graphs:
        if not graph.spec.partitioned:
            continue
        source = installation.elder_source(graph)
        try:
            if source.scope not in by_scope:
                by_scope[source.scope] = check_elders(
                    source,
                    installation.index,
                    now=now,
                    full=options.full,
                    budget_s=options.elders_budget_s,
                    partitions=partitions,
                )
        except AgentAssetsError as error:
            problems.append(f"elders of {graph.name}: {error.message}")
            continue
        elders[graph.name] = by_scope[source.scope]
    return elders, problems


def _settled(elders: Elders, now: float, options: Options) -> list[str]:
    chosen = set(options.elders) or elders.digests.keys()
    return [
        e for e in elders.digests if e in chosen and now - elders.settled[e] >= options.settled_s
    ]


def _versions(
    graph: Graph, elders: Elders | None, shared: SharedSources, reviews: Mapping[str, str]
) -> dict[tuple[str, str | None], Mapping[str, str]]:
    versions: dict[tuple[str, str | None], Mapping[str, str]] = {}
    for (pipeline, stage), digests in shared.versions.items():
        if pipeline == graph.name:
            versions[stage, None] = digests
    if elders is not None:
        versions |= {
            (MEMORIES.name, elder): {"mongodb": digest} for elder, digest in elders.digests.items()
        }
        versions |= {
            (ROWS.name, elder): {"reviews": source_version(reviews[elder])}
            if elder in reviews
            else {}
            for elder in elders.digests
        }
        if has_exams(graph.spec):
            versions |= {
                (REPORT.name, elder): {
                    name: source_version(digest)
                    for name, digest in exam_versions(graph.spec, elder).items()
                }
                for elder in elders.digests
            }
    return versions


def retrain_sources(
    graph: Graph, store: ArtifactStore
) -> dict[tuple[str, str | None], Mapping[str, str]]:
    """What a person asked to be trained anew, for the stages that draw at random."""
    times = retrains(store, graph.name)
    return {
        (stage.name, agent if graph.partitioned(stage) else None): as_inputs(times, agent)
        for stage in graph.stages.values()
        if stage.draws
        for agent in times
    }


class _Clock:
    """Seconds of each part, in order."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self.parts: dict[str, float] = {}

    @property
    def total(self) -> float:
        return time.perf_counter() - self._started

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.parts[name] = now - self._last
        self._last = now
