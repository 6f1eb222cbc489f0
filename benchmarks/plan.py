"""How long a plan takes over a fleet, and a night in which nothing changed.

python benchmarks/plan.py [--quick]        about 5 minutes; --quick under a minute with a smaller fleet

History is written into Dagster's SQLite in bulk, as 5 materializations per elder. The last line is one JSON object:
plan_10k_warm_s     the plan of 10,000 elders (50,003 cells) when the index has seen the history (median of 5)
plan_10k_cold_s     the same with an empty index: every event is read and decoded
time_10k_over_1k    warm time at 10,000 elders by warm time at 1,000
vs_resolver_ratio   warm time per cell by that of Dagster's CachingStaleStatusResolver, on a sample of its cells
one_changed         cells and elders in the plan after one elder's memories changed among 10,000
request_1000_s      choosing and claiming the runs of 1,000 stale elders, plan included
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
from datetime import UTC, datetime
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

from agent_assets.automation.pipelines import Graph, load_graphs
from agent_assets.automation.planner import presence
from agent_assets.pipeline.assets import ELDERS, build_assets
from agent_assets.planning.fingerprint import FingerprintTemplate
from agent_assets.planning.history import FINGERPRINT_TAG, INPUT_TAG, DagsterLog
from agent_assets.planning.index import PlanIndex
from agent_assets.planning.plan import Plan, Present, make_plan
from agent_assets.planning.recorded import read_inputs, read_latest
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore

PIPELINE = "elder_companion"


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def elder_id(number: int) -> str:
    return f"elder-{number:05d}"


class Fleet:
    """A Dagster instance, store and index in one folder, with a history in which everything is fresh."""

    def __init__(self, folder: Path, graph: Graph, elders: int) -> None:
        self.folder, self.graph = folder, graph
        self.elders = [elder_id(number) for number in range(elders)]
        self.facts = graph.facts(self.elders)
        self.sources: dict[tuple[str, str | None], dict[str, str]] = {
            ("elder_memories", elder): {"mongodb": digest("memories", elder)} for elder in self.elders
        }
        self.sources["base_model", None] = {"weights": digest("weights")}
        self.sources["mcp_tool_schema", None] = {"servers": digest("servers")}
        self.store = ArtifactStore(str(folder / "store"))
        (folder / "home").mkdir(parents=True)
        self.instance = dg.DagsterInstance.local_temp(str(folder / "home"))
        self.instance.add_dynamic_partitions(str(ELDERS.name), self.elders)
        self.index = PlanIndex(folder / "plan")
        self._write_history()

    def plan(self, sources: dict[tuple[str, str | None], dict[str, str]] | None = None) -> Plan:
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
                    **{f"dagster/input_data_version/{PIPELINE}/{n}": v for n, v in inputs.items()},
                }
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
            connection.commit() if hasattr(connection, "commit") else None


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: the night runs over a smaller fleet")
    quick = parser.parse_args().quick
    graph = next(graph for graph in load_graphs() if graph.name == PIPELINE)
    figures: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="plan-benchmark-"))
    try:
        warm: dict[int, float] = {}
        for elders in (100, 1_000, 10_000):
            seconds, fleet = timed(lambda n=elders: Fleet(folder / str(n), graph, n))
            print(f"{elders} elders: history written in {seconds:.1f} s")
            cold, plan = timed(fleet.plan)
            assert plan.cells == (), plan.cells[:3]
            runs = [timed(fleet.plan)[0] for _ in range(5)]
            warm[elders] = statistics.median(runs)
            print(f"  plan: cold {cold:.2f} s, warm {warm[elders]:.3f} s ({plan.fresh} cells)")
            if elders == 1_000:
                ratio = resolver_seconds_per_cell(fleet, sample=20)
                figures["vs_resolver_ratio"] = round(warm[elders] / plan.fresh / ratio, 5)
            if elders == 10_000:
                figures |= {"plan_10k_warm_s": round(warm[elders], 3), "plan_10k_cold_s": round(cold, 3)}
                changed = dict(fleet.sources)
                changed["elder_memories", elder_id(4711)] = {"mongodb": digest("a new story")}
                seconds, plan = timed(lambda: fleet.plan(changed))
                names = {cell.partition for cell in plan.cells}
                figures["one_changed"] = {"cells": len(plan.cells), "elders": sorted(str(n) for n in names)}
        figures["plan_100_warm_s"], figures["plan_1k_warm_s"] = round(warm[100], 3), round(warm[1_000], 3)
        figures["time_10k_over_1k"] = round(warm[10_000] / warm[1_000], 2)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
