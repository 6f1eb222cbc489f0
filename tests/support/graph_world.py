"""A small graph of our shape with instant stages, over a real Dagster instance and a real store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from agent_assets.pipeline.assets import build_asset
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
from agent_assets.resources.store import StoreResource
from agent_assets.store.manifest import CheckEntry


@dataclass
class World:
    """What the stages read from outside; a test edits it between runs."""

    source: str = "a"
    noise: str = ""
    rate: float = 0.1
    healthy: bool = True
    built: list[str] = field(default_factory=list)


def stages(world: World, *, child_code: str = "1") -> dict[str, Stage]:
    def read(run: SourceContext) -> Source:
        return Source(versions={"world": world.source + world.noise}, data=world.source)

    def build_parent(run: StageRun, source: Source, folder: Path) -> StageResult:
        world.built.append(f"parent[{run.partition}]")
        (folder / "text.txt").write_text(source.data, encoding="utf-8")
        return StageResult(
            summary={"letters": len(source.data)},
            checks=[CheckEntry(name="healthy", passed=world.healthy)],
        )

    def build_child(run: StageRun, source: Source, folder: Path) -> StageResult:
        world.built.append(f"child[{run.partition}]")
        text = (run.path("parent") / "text.txt").read_text(encoding="utf-8")
        (folder / "text.txt").write_text(text * 2, encoding="utf-8")
        return StageResult(summary={"letters": 2 * len(text)})

    def child_config(pipeline: PipelineSpec) -> Mapping[str, Any]:
        return {"rate": world.rate}

    parent = Stage(
        name="parent",
        description="",
        deps=(),
        kinds=frozenset(),
        code_version="1",
        config=lambda _: {},
        build=build_parent,
        read_source=read,
        checks=(Check("healthy", "is healthy"),),
    )
    child = Stage(
        name="child",
        description="",
        deps=("parent",),
        kinds=frozenset(),
        code_version=child_code,
        config=child_config,
        build=build_child,
        gpu=True,
    )
    return {"parent": parent, "child": child}


def materialize(
    instance: dg.DagsterInstance,
    store: Path,
    world: World,
    *,
    partition: str | None = None,
    select: tuple[str, ...] = ("parent", "child"),
    child_code: str = "1",
    raise_on_error: bool = True,
) -> dg.ExecuteInProcessResult:
    config = PipelineConfig(name="toy", partitions=None if partition is None else "elders")
    pipeline = PipelineSpec(config=config, folder=store)
    graph = stages(world, child_code=child_code)
    if partition is not None:
        instance.add_dynamic_partitions("elders", [partition])
    absent = dg.ResourceDefinition.none_resource()
    return dg.materialize(
        [build_asset(stage, pipeline, graph) for stage in graph.values()],
        instance=instance,
        partition_key=partition,
        raise_on_error=raise_on_error,
        selection=[pipeline.key(name) for name in select],
        resources={
            "store": StoreResource(root=str(store), cache=str(store)),
            "mongo": absent,
            "engines": absent,
        },
    )


def outcome(result: dg.ExecuteInProcessResult, asset: str) -> tuple[str, str]:
    """Whether an asset was built or reused, and why."""
    for event in result.get_asset_materialization_events():
        if event.asset_key is not None and event.asset_key.path[-1] == asset:
            metadata = event.materialization.metadata
            return str(metadata["outcome"].value), str(metadata["why"].value)
    raise AssertionError(f"{asset} was not materialized")
