"""A code location whose stages hold the device until a test lets them go: the real body of an
asset, no engines.

A stage on the device waits for the file `<folder>/go` (or `<folder>/go-<elder>`), and writes
`<elder>.<stage>` when it has the device.
"""

import os
import time
from pathlib import Path

import dagster as dg

from agent_assets.pipeline.assets import build_asset
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec, Source, Stage, StageResult, StageRun
from agent_assets.resources.engines import EnginesResource
from agent_assets.resources.store import StoreResource

FOLDER = Path(os.environ["DEVICE_LOCATION_FOLDER"])
NAMES = ("elder_memories", "sft_adapter", "eval_report", "release")
ON_DEVICE = ("sft_adapter", "eval_report")


def build(run: StageRun, source: Source, folder: Path) -> StageResult:
    stage, elder = run.context.asset_key.path[-1], str(run.partition)
    if stage in ON_DEVICE:
        with run.engines.lease(run.context):
            (FOLDER / f"{elder}.{stage}").write_text(str(time.time()), encoding="utf-8")
            while not (FOLDER / "go").exists() and not (FOLDER / f"go-{elder}").exists():
                time.sleep(0.2)
    (folder / "text.txt").write_text(f"{elder} {stage}", encoding="utf-8")
    return StageResult(summary={})


@dg.definitions
def defs() -> dg.Definitions:
    spec = PipelineSpec(PipelineConfig(name="elder_companion", partitions="elders"), FOLDER)
    stages: dict[str, Stage] = {}
    for name in NAMES:
        stages[name] = Stage(
            name=name,
            description="",
            deps=tuple(stages)[-1:],
            kinds=frozenset(),
            code_version="1",
            config=lambda _: {},
            build=build,
            gpu=name in ON_DEVICE,
        )
    return dg.Definitions(
        assets=[build_asset(stage, spec, stages) for stage in stages.values()],
        jobs=[
            dg.define_asset_job(
                "elder_companion_job", selection=dg.AssetSelection.groups("elder_companion")
            )
        ],
        resources={
            "store": StoreResource(root=str(FOLDER / "store"), cache=str(FOLDER / "cache")),
            "mongo": dg.ResourceDefinition.none_resource(),
            "engines": EnginesResource(environments=str(FOLDER), device="cpu", home=str(FOLDER)),
        },
        executor=dg.in_process_executor,
    )
