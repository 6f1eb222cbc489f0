"""How long a plan takes over a fleet, and a night in which nothing changed.

python benchmarks/plan.py [--quick]        about 5 minutes; --quick under a minute, its night over a smaller fleet

History is written into Dagster's SQLite in bulk, as 5 materializations per elder. The last line is one JSON object:
plan_10k_warm_s     the plan of 10,000 elders (50,003 cells) when the index has seen the history (median of 5)
plan_10k_cold_s     the same with an empty index: every event is read and decoded
time_10k_over_1k    warm time at 10,000 elders by warm time at 1,000
vs_resolver_ratio   warm time per cell by that of Dagster's CachingStaleStatusResolver, on a sample of its cells
one_changed         cells and elders in the plan after one elder's memories changed among 10,000
request_1000_s      a tick that requests the runs of 1,000 stale elders among 10,000
noop_night_s        a night with nothing changed: full content check of 10,000 elders x 100 answers, plan, requests
noop_night_runs     runs it starts
"""

import argparse
import hashlib
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.events import StepMaterializationData
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.event_log.schema import AssetEventTagsTable, AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value

from agent_assets.automation.config import load_automation
from agent_assets.automation.pipelines import Graph, load_graphs
from agent_assets.automation.planner import Installation, presence
from agent_assets.automation.sources import read_shared
from agent_assets.automation.ticks import night, run_tags, watch
from agent_assets.pipeline.assets import ELDERS, build_assets
from agent_assets.planning.cells import Plan
from agent_assets.planning.elders import check_elders
from agent_assets.planning.fingerprint import FingerprintTemplate
from agent_assets.planning.history import FINGERPRINT_TAG, INPUT_TAG, DagsterLog
from agent_assets.planning.index import PlanIndex
from agent_assets.planning.plan import Present, make_plan
from agent_assets.planning.recorded import read_inputs, read_latest
from agent_assets.planning.requests import choose_requests
from agent_assets.settings import load_settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from resources.engines import EnginesResource
from resources.mongo import MongoResource
from resources.mongo_retry import connect
from resources.mongod import start_mongod

CONFIG = load_automation()
PIPELINE = "elder_companion"
Sources = dict[tuple[str, str | None], dict[str, str]]


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def elder_id(number: int) -> str:
    return f"elder-{number:05d}"


class Fleet:
    """A Dagster instance, store and index in one folder, with a history in which everything is fresh."""

    def __init__(self, folder: Path, graph: Graph, elders: int, sources: Sources | None = None) -> None:
        self.folder, self.graph = folder, graph
        self.elders = [elder_id(number) for number in range(elders)]
        self.facts = graph.facts(self.elders)
        self.sources: Sources = {
            ("elder_memories", elder): {"mongodb": digest("memories", elder)} for elder in self.elders
        }
        self.sources["base_model", None] = {"weights": digest("weights")}
        self.sources["mcp_tool_schema", None] = {"servers": digest("servers")}
        self.sources |= sources or {}
        self.store = ArtifactStore(str(folder / "store"))
        (folder / "home").mkdir(parents=True)
        self.instance = dg.DagsterInstance.local_temp(str(folder / "home"))
        self.instance.add_dynamic_partitions(str(ELDERS.name), self.elders)
        self.index = PlanIndex(folder / "plan")
        self._write_history()

    def plan(self, sources: Sources | None = None) -> Plan:
        present: Present | None = presence(self.store, listing=False)
        return make_plan(
            [self.facts],
            read_latest(DagsterLog(self.instance), self.index, [self.facts]),
            {PIPELINE: self.sources if sources is None else sources},
            inputs_of=lambda ids: read_inputs(self.index, ids),
            present=present,
        )

    def _write_history(self) -> None:
        versions: dict[tuple[str, str | None], str] = {}
        self._events: dict[tuple[str, str | None], int] = {}
        for stage in self.facts.stages:
            template = FingerprintTemplate(asset=stage.name, code_version=stage.code_version, config=stage.config)
            rows = []
            for elder in self.elders if stage.partitioned else [None]:
                inputs = {
                    name: versions.get((name, elder), versions.get((name, None), "")) for name in stage.deps
                } | self.sources.get((stage.name, elder), {})
                versions[stage.name, elder] = digest(stage.name, elder)
                fingerprint = template.fingerprint(elder, inputs)
                rows.append((elder, fingerprint, versions[stage.name, elder], stage.config_version, inputs))
                key = ArtifactKey(PIPELINE, stage.name, elder)
                artifact = self.folder / "store" / key.folder / fingerprint
                artifact.mkdir(parents=True)
                (artifact / "manifest.json").touch()
            self._insert(dg.AssetKey([PIPELINE, stage.name]), rows)

    def _insert(self, key: dg.AssetKey, rows: Iterable[tuple[str | None, str, str, str, dict[str, str]]]) -> None:
        storage = self.instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)
        now = datetime.now(UTC).replace(tzinfo=None)
        events, tags = [], []
        with storage.index_connection() as connection:
            (last,) = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM event_logs").fetchone() or (0,)
            for number, (partition, fingerprint, version, code, inputs) in enumerate(rows, start=last + 1):
                entry_tags = {
                    FINGERPRINT_TAG: fingerprint,
                    "dagster/data_version": version,
                    "dagster/code_version": code,
                    **{f"{INPUT_TAG}{name}": value for name, value in inputs.items()},
                }
                for name in inputs:  # provenance as Dagster records it, for its resolver
                    pointer = self._events.get((name, partition), self._events.get((name, None)))
                    if pointer is not None:
                        entry_tags[f"dagster/input_data_version/{PIPELINE}/{name}"] = inputs[name]
                        entry_tags[f"dagster/input_event_pointer/{PIPELINE}/{name}"] = str(pointer)
                self._events[key.path[-1], partition] = number
                event = {
                    "id": number,
                    "run_id": "00000000-0000-0000-0000-000000000000",
                    "event": _event(key, partition, entry_tags),
                    "dagster_event_type": "ASSET_MATERIALIZATION",
                    "timestamp": now,
                    "step_key": "__".join(key.path),
                    "asset_key": key.to_string(),
                    "partition": partition,
                }
                events.append(event)
                tags.append(
                    {
                        "event_id": number,
                        "asset_key": key.to_string(),
                        "key": "dagster/data_version",
                        "value": version,
                        "event_timestamp": now,
                    }
                )
            connection.execute(SqlEventLogStorageTable.insert(), events)
            connection.execute(AssetEventTagsTable.insert(), tags)
            row = {
                "asset_key": key.to_string(),
                "last_materialization": events[-1]["event"],
                "last_run_id": events[-1]["run_id"],
                "last_materialization_timestamp": now,
            }
            connection.execute(AssetKeyTable.insert(), [row])


def _event(key: dg.AssetKey, partition: str | None, tags: dict[str, str]) -> str:
    """The event as Dagster stores it, with the metadata that our stages report."""
    metadata: dict[str, Any] = {
        "outcome": "built",
        "why": "mongodb changed",
        "device": "cpu",
        "seconds": 12.5,
        "build_seconds": 12.5,
        "fingerprint": tags[FINGERPRINT_TAG],
        "bytes": 123456,
        "path": dg.MetadataValue.path("/somewhere/in/the/store"),
        "memories": 100,
        "engine": dg.MetadataValue.json({"name": "swift", "versions": {"torch": "2", "transformers": "5"}}),
    }
    global _template  # noqa: PLW0603  # serializing 50,000 events one by one would take most of the benchmark
    if _template is None:
        from dagster._core.events import DagsterEvent
        from dagster._core.events.log import EventLogEntry

        materialization = dg.AssetMaterialization(
            asset_key=["KEY0", "KEY1"], partition="PARTITION", metadata=metadata, tags={"TAGS": "x"}
        )
        event = DagsterEvent(
            event_type_value="ASSET_MATERIALIZATION",
            job_name="job",
            event_specific_data=StepMaterializationData(materialization, []),
            step_key="STEP",
        )
        run = "00000000-0000-0000-0000-000000000000"
        entry = EventLogEntry(None, 10, "", run, time.time(), "STEP", "job", dagster_event=event)
        _template = serialize_value(entry)
    text = _template.replace('{"TAGS": "x"}', json.dumps(tags)).replace("STEP", "__".join(key.path))
    text = text.replace('"KEY0", "KEY1"', json.dumps(key.path)[1:-1])
    return text.replace('"PARTITION"', json.dumps(partition))


_template: str | None = None


def timed(function: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def resolver_seconds_per_cell(fleet: Fleet, sample: int) -> float:
    graph = AssetGraph.from_assets(build_assets(fleet.graph.spec))
    resolver = CachingStaleStatusResolver(fleet.instance, graph, LoadingContextForTest(fleet.instance))
    stages = [stage.name for stage in fleet.facts.stages if stage.partitioned]
    seconds, fresh = timed(
        lambda: [
            resolver.get_status(dg.AssetKey([PIPELINE, name]), elder)
            for elder in fleet.elders[:sample]
            for name in stages
        ]
    )
    print(f"  resolver: {len(fresh)} cells in {seconds:.2f} s, statuses {sorted({str(s) for s in fresh})}")
    return float(seconds) / len(fresh)


def request_seconds(fleet: Fleet, stale: int) -> tuple[float, int]:
    """A tick of a sensor in which many elders are stale: the plan, the choice of runs, and Dagster's check of them."""
    changed = dict(fleet.sources)
    for elder in fleet.elders[:stale]:
        changed["elder_memories", elder] = {"mongodb": digest("another", elder)}

    @dg.sensor(target=dg.AssetSelection.all(), name="many")
    def many(context: dg.SensorEvaluationContext) -> list[dg.RunRequest]:
        found = choose_requests(fleet.plan(changed), fleet.index, active=[], now=time.time(), cap=stale)
        return [
            dg.RunRequest(
                run_key=request.run_key,
                partition_key=request.run.partition,
                asset_selection=[dg.AssetKey([PIPELINE, name]) for name in request.assets],
                tags=run_tags(request, "", CONFIG),
            )
            for request in found.chosen
        ]

    absent = dg.ResourceDefinition.none_resource()
    definitions = dg.Definitions(
        assets=build_assets(fleet.graph.spec),
        sensors=[many],
        resources={"store": absent, "mongo": absent, "engines": absent},
    )
    repository = definitions.get_repository_def()
    context = dg.build_sensor_context(instance_ref=fleet.instance.get_ref(), repository_def=repository)
    seconds, tick = timed(lambda: repository.get_sensor_def("many").evaluate_tick(context))
    return float(seconds), len(tick.run_requests)


def quiet_night(folder: Path, database: Path, graph: Graph, elders: int, answers: int) -> dict[str, Any]:
    """A night in which nothing changed, over a real MongoDB: content of all elders, tool servers, weights, plan."""
    figures: dict[str, Any] = {"noop_night_elders": elders, "noop_night_answers": elders * answers}
    with start_mongod(database) as mongod, connect(mongod.uri) as client:
        seconds, _ = timed(lambda: fill(client["fleet"], elders, answers))
        print(f"  {elders * answers} answers written in {seconds:.1f} s")
        settings = load_settings()
        installation = Installation(
            graphs=(graph,),
            store=ArtifactStore(str(folder / "store")),
            mongo=MongoResource(uri=mongod.uri, database="fleet"),
            engines=EnginesResource(environments=str(settings.engines), device="cpu", home=str(folder)),
            index=PlanIndex(folder / "plan"),
        )
        now = time.time()
        source = installation.elder_source(graph)
        figures["first_look_s"], found = timed(lambda: check_elders(source, installation.index, now=now))
        shared = read_shared(
            [graph], installation.mongo, installation.engines, installation.index, now=now, max_age_s=0
        )
        sources: Sources = {("elder_memories", e): {"mongodb": version} for e, version in found.digests.items()}
        sources |= {(stage, None): dict(versions) for (_, stage), versions in shared.versions.items()}
        fleet = Fleet(folder, graph, elders, sources)
        figures["watch_tick_s"], _ = timed(lambda: watch(installation, fleet.instance, CONFIG, later(1)))
        date = later(2).date().isoformat()
        figures["noop_night_s"], tick = timed(lambda: night(installation, fleet.instance, CONFIG, later(2), date=date))
        figures["noop_night_runs"] = len(tick.requests)
        print(f"  {tick.message}\n  parts: { {name: round(part, 2) for name, part in tick.snapshot.parts.items()} }")
        installation.mongo.close()
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}


def fill(db: Any, elders: int, answers: int) -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC)
    db.questions.insert_many(
        [{"_id": f"q{n}", "questionText": f"Question {n}?", "category": "life"} for n in range(answers)]
    )
    db.elders.insert_many([{"elderId": elder_id(n), "name": f"Elder {n}", "language": "en"} for n in range(elders)])
    text = "I was born in a small town by the river, and we had four cows and a dog. " * 4
    for start in range(0, elders, 100):
        db.answers.insert_many(
            [
                {
                    "elderId": elder_id(number),
                    "questionId": f"q{n}",
                    "answer": f"{number} {n} {text}",
                    "createdAt": asked,
                    "updatedAt": asked,
                }
                for number in range(start, min(start + 100, elders))
                for n in range(answers)
            ],
            ordered=False,
        )
    db.answers.create_index([("elderId", 1), ("updatedAt", 1), ("createdAt", 1)])


def later(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: the night runs over a smaller fleet")
    quick = parser.parse_args().quick
    graph = next(graph for graph in load_graphs() if graph.name == PIPELINE)
    figures: dict[str, Any] = {}
    folder, database = Path(tempfile.mkdtemp(prefix="plan-", dir=scratch())), Path(tempfile.mkdtemp(prefix="plan-"))
    try:
        figures |= plan_figures(folder, graph)
        (folder / "night").mkdir()
        figures |= quiet_night(folder / "night", database, graph, *((300, 20) if quick else (10_000, 100)))
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(database)
    print(json.dumps(figures))


def scratch() -> str | None:
    """A folder in memory where there is one: making and removing 100,000 folders is not what is measured."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 4 * 2**30 else None


def plan_figures(folder: Path, graph: Graph) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    warm: dict[int, float] = {}
    for elders in (100, 1_000, 10_000):
        seconds, fleet = timed(lambda n=elders: Fleet(folder / str(n), graph, n))
        print(f"{elders} elders: history written in {seconds:.1f} s")
        cold, plan = timed(fleet.plan)
        assert plan.cells == (), plan.cells[:3]
        warm[elders] = statistics.median(timed(fleet.plan)[0] for _ in range(5))
        print(f"  plan: cold {cold:.2f} s, warm {warm[elders]:.3f} s ({plan.fresh} cells)")
        if elders == 1_000:
            per_cell = resolver_seconds_per_cell(fleet, sample=20)
            figures["vs_resolver_ratio"] = round(warm[elders] / plan.fresh / per_cell, 5)
        if elders == 10_000:
            figures |= {"plan_10k_warm_s": round(warm[elders], 3), "plan_10k_cold_s": round(cold, 3)}
            changed = dict(fleet.sources)
            changed["elder_memories", elder_id(4711)] = {"mongodb": digest("a new story")}
            plan = fleet.plan(changed)
            names = sorted({str(cell.partition) for cell in plan.cells})
            figures["one_changed"] = {"cells": len(plan.cells), "elders": names}
            seconds, count = request_seconds(fleet, 1_000)
            figures |= {"request_1000_s": round(seconds, 3), "request_1000_runs": count}
        fleet.instance.dispose()
        shutil.rmtree(fleet.folder)
    figures["plan_100_warm_s"], figures["plan_1k_warm_s"] = round(warm[100], 3), round(warm[1_000], 3)
    figures["time_10k_over_1k"] = round(warm[10_000] / warm[1_000], 2)
    return figures


if __name__ == "__main__":
    main()
