"""A fleet in the shape of our real graph with instant stages: shared assets, elders, a real
Dagster, store and index.

Stages lose information on purpose (a touch, a trailing "!", an odd setting), so that a rebuilt
parent often comes out identical. `World` is everything outside: a test edits it, plans, refreshes.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg

from agent_assets.automation.pipelines import Graph
from agent_assets.automation.planner import Installation, retrain_sources
from agent_assets.conversations.memories import write_memories
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import EngineFailed
from agent_assets.mongo.database import MemoryDatabase
from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import content_digest
from agent_assets.pipeline.assets import ELDERS, build_asset
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import (
    Check,
    PipelineSpec,
    Source,
    SourceContext,
    Stage,
    StageResult,
    StageRun,
)
from agent_assets.planning.asset_partitions import Plan, PlannedRun
from agent_assets.planning.facts import SourceVersions
from agent_assets.planning.history import WANTED_TAG, DagsterLog, known_partitions
from agent_assets.planning.index import PlanIndex
from agent_assets.planning.plan import make_plan
from agent_assets.planning.recorded import read_inputs, read_latest
from agent_assets.resources.store import StoreResource
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from agent_assets.store.manifest import CheckEntry
from agent_assets.store.tombstones import incarnations

SHARED = ("base_model", "mcp_tool_schema", "questions")
PARENTS: Mapping[str, tuple[str, ...]] = {
    "base_model": (),
    "mcp_tool_schema": (),
    "questions": ("mcp_tool_schema",),
    "elder_memories": (),
    "train_jsonl": ("mcp_tool_schema", "questions", "elder_memories"),
    "sft_adapter": ("base_model", "train_jsonl"),
    "merged_model": ("base_model", "sft_adapter"),
    "eval_report": (
        "base_model",
        "mcp_tool_schema",
        "elder_memories",
        "train_jsonl",
        "merged_model",
    ),
}
NAMES = tuple(PARENTS)
Executed = tuple[str, str | None]


@dataclass
class World:
    """Everything outside the graph."""

    weights: str = "w"
    servers: str = "lookup"
    memories: dict[str, str] = field(default_factory=dict)
    settings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    code: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 1))
    failing: set[Executed] = field(default_factory=set)
    unsound: set[Executed] = field(default_factory=set)
    built: list[Executed] = field(default_factory=list)

    def source(self, stage: str, elder: str | None) -> dict[str, str]:
        if stage == "base_model":
            return {"weights": _hash(self.weights)}
        if stage == "mcp_tool_schema":
            return {"servers": _hash(self.servers)}
        return {"mongodb": _hash(self.memories[str(elder)])}


@dataclass
class Fleet:
    """The world, and what was made of it."""

    instance: dg.DagsterInstance
    folder: Path
    world: World = field(default_factory=World)
    mongo: MemoryDatabase | None = None  # where elders are read from instead of the world

    def __post_init__(self) -> None:
        self.spec = PipelineSpec(PipelineConfig(name="fleet", partitions="elders"), self.folder)
        self.store = ArtifactStore(str(self.folder / "store"))
        self.index = PlanIndex(self.folder / "plan")

    def graph(self) -> Graph:
        stages = {name: _stage(name, self.world) for name in NAMES}
        if self.mongo is not None:
            stages["elder_memories"] = _memories_from(self.mongo, stages["elder_memories"])
        return Graph(self.spec, stages)

    def installation(self) -> Installation:
        assert self.mongo is not None
        engines = LocalEngines(environments="", device="cpu", home=str(self.folder))
        return Installation((self.graph(),), self.store, self.mongo, engines, self.index)

    def assets(self) -> list[dg.AssetsDefinition]:
        graph = self.graph()
        return [build_asset(stage, self.spec, graph.stages) for stage in graph.stages.values()]

    def sources(self) -> SourceVersions:
        shared = {
            (name, None): self.world.source(name, None)
            for name in ("base_model", "mcp_tool_schema")
        }
        return shared | {
            ("elder_memories", e): self.world.source("elder_memories", e)
            for e in self.world.memories
        }

    def add(self, elder: str, memories: str) -> None:
        self.world.memories[elder] = memories
        self.instance.add_dynamic_partitions(str(ELDERS.name), [elder])

    def elders(self) -> list[str]:
        return known_partitions(self.instance, str(ELDERS.name))

    def plan(self) -> Plan:
        facts = self.graph().facts(self.elders())
        return make_plan(
            [facts],
            read_latest(DagsterLog(self.instance), self.index, [facts]),
            {"fleet": {**self.sources(), **retrain_sources(self.graph(), self.store)}},
            inputs_of=lambda ids: read_inputs(self.index, ids),
            incarnations=incarnations(self.store),
            present=self.present,
        )

    def present(self, pipeline: str, asset: str, partition: str | None, fingerprint: str) -> bool:
        folder = ArtifactKey(pipeline, asset, partition).folder
        return (self.folder / "store" / folder / fingerprint / "manifest.json").is_file()

    def start(
        self, run: PlannedRun, assets: Iterable[str] | None = None
    ) -> dg.ExecuteInProcessResult:
        return self.materialize(
            run.partition, assets or run.assets, tags={WANTED_TAG: run.target_digest}
        )

    def materialize(
        self, partition: str | None, assets: Iterable[str], tags: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            self.assets(),
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
            selection=[self.spec.key(name) for name in assets],
            tags=dict(tags or {}),
            resources=self.resources(),
        )

    def resources(self) -> dict[str, Any]:
        absent = dg.ResourceDefinition.none_resource()
        store = StoreResource(root=str(self.folder / "store"), cache=str(self.folder / "cache"))
        return {"store": store, "mongo": self.mongo or absent, "engines": absent}

    def definitions(self) -> dg.Definitions:
        job = dg.define_asset_job("fleet_job", selection=dg.AssetSelection.groups("fleet"))
        return dg.Definitions(
            assets=self.assets(),
            jobs=[job],
            resources=self.resources(),
            executor=dg.in_process_executor,
        )

    def refresh(self) -> set[Executed]:
        """Shared assets first, then the elders that are still not fresh. Returns what was
        materialized.
        """
        done: set[Executed] = set()
        for run in [run for run in self.plan().runs if run.partition is None]:
            done |= materialized(self.start(run), None)
        for run in [run for run in self.plan().runs if run.partition is not None]:
            done |= materialized(self.start(run), run.partition)
        return done


def materialized(result: dg.ExecuteInProcessResult, partition: str | None) -> set[Executed]:
    events = result.get_asset_materialization_events()
    return {
        (event.asset_key.path[-1], partition) for event in events if event.asset_key is not None
    }


def asset_partitions(plan: Plan) -> set[Executed]:
    return {(entry.asset, entry.partition) for entry in plan.asset_partitions}


def causes(plan: Plan) -> dict[Executed, list[str]]:
    return {
        (entry.asset, entry.partition): [cause.detail for cause in entry.causes]
        for entry in plan.asset_partitions
    }


def _stage(name: str, world: World) -> Stage:
    def read(run: SourceContext) -> Source:
        content = {"base_model": world.weights, "mcp_tool_schema": world.servers}
        text = world.memories[str(run.partition)] if name == "elder_memories" else content[name]
        return Source(versions=world.source(name, run.partition), data=text)

    def build(run: StageRun, source: Source, folder: Path) -> StageResult:
        entry = (name, run.partition)
        if entry in world.failing:
            raise EngineFailed(f"{name} failed.", next_step="nothing: a test wants it.")
        world.built.append(entry)
        inputs = {
            parent: (run.path(parent) / "text.txt").read_text(encoding="utf-8")
            for parent in run.inputs
        }
        text = _LOSSY[name](source.data or "", inputs, world.settings[name] // 2)
        (folder / "text.txt").write_text(text, encoding="utf-8")
        return StageResult(
            summary={}, checks=[CheckEntry(name="sound", passed=entry not in world.unsound)]
        )

    return Stage(
        name=name,
        description="",
        deps=PARENTS[name],
        kinds=frozenset(),
        code_version=str(world.code[name]),
        config=lambda _: {"setting": world.settings[name]},
        build=build,
        read_source=read if name in ("base_model", "mcp_tool_schema", "elder_memories") else None,
        checks=(Check("sound", "is sound"),),
        partitioned=name not in SHARED,
        gpu=name in ("sft_adapter", "merged_model", "eval_report"),
        draws=name == "sft_adapter",
    )


def _memories_from(mongo: MemoryDatabase, stage: Stage) -> Stage:
    """The stage with the source that the real one has."""

    def read(run: SourceContext) -> Source:
        record = mongo.read_elder(str(run.partition), MongoLayout.service())
        return Source(versions={"mongodb": content_digest(record)}, data=record)

    def build(run: StageRun, source: Source, folder: Path) -> StageResult:
        write_memories(folder, source.data.profile, source.data.memories)
        (folder / "text.txt").write_text(source.versions["mongodb"], encoding="utf-8")
        return StageResult(
            summary={},
            checks=[CheckEntry(name="sound", passed=True)],
            data_version=source.versions["mongodb"],
        )

    return replace(stage, read_source=read, build=build)


def _mixed(source: str, inputs: Mapping[str, str], setting: int) -> str:
    return _hash(repr(sorted(inputs.items())) + str(setting))


_LOSSY: Mapping[str, Callable[[str, Mapping[str, str], int], str]] = {
    "base_model": lambda source, inputs, setting: source.rstrip("!"),
    "mcp_tool_schema": lambda source, inputs, setting: source.rstrip("!"),
    "questions": lambda source, inputs, setting: inputs["mcp_tool_schema"][:6],
    "elder_memories": lambda source, inputs, setting: source.rstrip("!"),
    "train_jsonl": lambda source, inputs, setting: _hash(
        "".join(sorted(inputs.values())).lower() + str(setting)
    ),
    "sft_adapter": _mixed,
    "merged_model": _mixed,
    "eval_report": _mixed,
}


def _hash(text: Any) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()[:32]
