"""How long a plan takes over a fleet, and a night in which nothing changed.

python benchmarks/plan.py [--quick]        about 5 minutes; --quick under a minute, its night over a smaller fleet

History is written into Dagster's SQLite in bulk, as 5 materializations per elder. The last line is one JSON object:
plan_10k_warm_s     the plan of 10,000 elders (50,003 cells) when the index has seen the history (median of 5)
plan_10k_cold_s     the same with an empty index: every event is read and decoded
time_10k_over_1k    warm time at 10,000 elders by warm time at 1,000
vs_resolver_ratio   warm time per cell by that of Dagster's CachingStaleStatusResolver, on a sample of its cells
one_changed         cells and elders in the plan after one elder's memories changed among 10,000
request_1000_s      a tick that requests the runs of 1,000 stale elders among 10,000
signature_1m_s      signatures of 10,000 elders over 1,000,000 answers, from the index (median of 5)
noop_night_s        a night with nothing changed: full content check of 10,000 elders x 100 answers, plan, requests
noop_night_runs     runs it starts
"""  # noqa: E501

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster_history import PIPELINE, Fleet, digest, elder_id
from elders_database import database_figures, timed

from agent_assets.automation.config import load_automation
from agent_assets.automation.pipelines import Graph, load_graphs
from agent_assets.automation.ticks import run_tags
from agent_assets.pipeline.assets import build_assets
from agent_assets.planning.requests import choose_requests


def resolver_seconds_per_cell(fleet: Fleet, sample: int) -> float:
    graph = AssetGraph.from_assets(build_assets(fleet.graph.spec))
    resolver = CachingStaleStatusResolver(
        fleet.instance, graph, LoadingContextForTest(fleet.instance)
    )
    stages = [stage.name for stage in fleet.facts.stages if stage.partitioned]
    seconds, fresh = timed(
        lambda: [
            resolver.get_status(dg.AssetKey([PIPELINE, name]), elder)
            for elder in fleet.elders[:sample]
            for name in stages
        ]
    )
    print(
        f"  resolver: {len(fresh)} cells in {seconds:.2f} s, statuses "
        f"{sorted({str(s) for s in fresh})}"
    )
    return float(seconds) / len(fresh)


def request_seconds(fleet: Fleet, stale: int) -> tuple[float, int]:
    """A tick of a sensor in which many elders are stale: the plan, the choice of runs, and
    Dagster's check of them.
    """
    changed = dict(fleet.sources)
    for elder in fleet.elders[:stale]:
        changed["elder_memories", elder] = {"mongodb": digest("another", elder)}

    @dg.sensor(target=dg.AssetSelection.all(), name="many")
    def many(context: dg.SensorEvaluationContext) -> list[dg.RunRequest]:
        chosen = choose_requests(
            fleet.plan(changed),
            fleet.index,
            active=[],
            started=lambda keys: set(),
            now=time.time(),
            cap=stale,
        )
        return [
            dg.RunRequest(
                run_key=request.run_key,
                partition_key=request.run.partition,
                asset_selection=[dg.AssetKey([PIPELINE, name]) for name in request.assets],
                tags=run_tags(request, "", load_automation()),
            )
            for request in chosen.chosen
        ]

    absent = dg.ResourceDefinition.none_resource()
    definitions = dg.Definitions(
        assets=build_assets(fleet.graph.spec),
        sensors=[many],
        resources={"store": absent, "mongo": absent, "engines": absent},
    )
    repository = definitions.get_repository_def()
    context = dg.build_sensor_context(
        instance_ref=fleet.instance.get_ref(), repository_def=repository
    )
    seconds, tick = timed(lambda: repository.get_sensor_def("many").evaluate_tick(context))
    return float(seconds), len(tick.run_requests)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="under a minute: the night runs over a smaller fleet"
    )
    quick = parser.parse_args().quick
    graph = next(graph for graph in load_graphs() if graph.name == PIPELINE)
    figures: dict[str, Any] = {"machine": machine()}
    folder, database = (
        Path(tempfile.mkdtemp(prefix="plan-", dir=scratch())),
        Path(tempfile.mkdtemp(prefix="plan-")),
    )
    try:
        figures |= plan_figures(folder, graph)
        (folder / "night").mkdir()
        figures |= database_figures(
            folder / "night", database, graph, *((300, 20) if quick else (10_000, 100))
        )
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(database)
    print(json.dumps(figures))


def machine() -> dict[str, Any]:
    """When, on what class of machine, and with which versions. Never which machine."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "dagster": version("dagster"),
        "pymongo": version("pymongo"),
    }


def scratch() -> str | None:
    """A folder in memory where there is one: making and removing 100,000 folders is not what is
    measured.
    """
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 4 * 2**30 else None


def plan_figures(folder: Path, graph: Graph) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    warm: dict[int, float] = {}
    for elders in (100, 1_000, 10_000):
        seconds, fleet = timed(partial(Fleet, folder / str(elders), graph, elders))
        print(f"{elders} elders: history written in {seconds:.1f} s")
        cold, plan = timed(fleet.plan)
        assert plan.asset_partitions == (), plan.asset_partitions[:3]
        warm[elders] = statistics.median(timed(fleet.plan)[0] for _ in range(5))
        print(f"  plan: cold {cold:.2f} s, warm {warm[elders]:.3f} s ({plan.fresh} cells)")
        if elders == 1_000:
            per_cell = resolver_seconds_per_cell(fleet, sample=20)
            figures["vs_resolver_ratio"] = round(warm[elders] / plan.fresh / per_cell, 5)
        if elders == 10_000:
            figures |= {
                "plan_10k_warm_s": round(warm[elders], 3),
                "plan_10k_cold_s": round(cold, 3),
            }
            changed = dict(fleet.sources)
            changed["elder_memories", elder_id(4711)] = {"mongodb": digest("a new story")}
            plan = fleet.plan(changed)
            names = sorted({str(entry.partition) for entry in plan.asset_partitions})
            figures["one_changed"] = {"cells": len(plan.asset_partitions), "elders": names}
            seconds, count = request_seconds(fleet, 1_000)
            figures |= {"request_1000_s": round(seconds, 3), "request_1000_runs": count}
        fleet.instance.dispose()
        shutil.rmtree(fleet.folder)
    figures["plan_100_warm_s"], figures["plan_1k_warm_s"] = (
        round(warm[100], 3),
        round(warm[1_000], 3),
    )
    figures["time_10k_over_1k"] = round(warm[10_000] / warm[1_000], 2)
    return figures


if __name__ == "__main__":
    main()
