"""`agent-assets demo` over stages that take no time, except one that starts an engine program which
never ends while there is a file `hang` in the folder of the first argument.
"""

import sys
from pathlib import Path
from typing import Any

import dagster as dg

import agent_assets.definitions
from agent_assets.cli.main import main
from agent_assets.engines.launch.step_program import run_program
from agent_assets.pipeline.assets import build_asset
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec, Source, Stage, StageResult, StageRun
from agent_assets.resources.engines import EnginesResource
from agent_assets.resources.mongo import MongoResource
from agent_assets.resources.store import StoreResource
from agent_assets.settings import load_settings
from support.launching import CORE, HANGS, ROOMY, SUPPORT, HangsParams
from support.reports import report_json

FOLDER = Path(sys.argv[1])
METRICS = (
    "tool_call_accuracy",
    "tool_call_accuracy_unseen_wording",
    "recall_open",
    "recall_closed",
    "abstention",
)


def rows(run: StageRun, source: Source, folder: Path) -> StageResult:
    (folder / "train.jsonl").write_text("{}\n", encoding="utf-8")
    return StageResult(summary={"rows": 1, "rejected": 0})


def train(run: StageRun, source: Source, folder: Path) -> StageResult:
    if (FOLDER / "hang").exists():
        run_program(
            run.context,
            HANGS,
            HangsParams(FOLDER / "pids"),
            env=CORE,
            work_dir=folder / "logs",
            limits=ROOMY,
            lease=None,
            search_path=SUPPORT,
        )
    (folder / "weights.txt").write_text("w", encoding="utf-8")
    return StageResult(summary={})


def report(run: StageRun, source: Source, folder: Path) -> StageResult:
    systems = {"base": dict.fromkeys(METRICS, 0.0), "sft": dict.fromkeys(METRICS, 1.0)}
    if run.config.name == "energy_expert":
        systems["rl"] = dict.fromkeys(METRICS, 0.5)
    (folder / "report.json").write_text(report_json(systems), encoding="utf-8")
    return StageResult(summary={})


def stage(name: str, deps: tuple[str, ...], build: Any, *, gpu: bool = False) -> Stage:
    return Stage(
        name=name,
        description="",
        deps=deps,
        kinds=frozenset(),
        code_version="1",
        config=lambda _: {},
        build=build,
        gpu=gpu,
    )


def definitions() -> dg.Definitions:
    settings = load_settings()
    stages = {
        "train_jsonl": stage("train_jsonl", (), rows),
        "sft_adapter": stage("sft_adapter", ("train_jsonl",), train, gpu=True),
        "eval_report": stage("eval_report", ("sft_adapter",), report),
    }
    specs = [
        PipelineSpec(PipelineConfig(name="energy_expert"), FOLDER),
        PipelineSpec(PipelineConfig(name="elder_companion", partitions="elders"), FOLDER),
    ]
    names = [spec.config.name for spec in specs]
    return dg.Definitions(
        assets=[
            build_asset(each_stage, spec, stages)
            for spec in specs
            for each_stage in stages.values()
        ],
        jobs=[
            dg.define_asset_job(f"{name}_job", selection=dg.AssetSelection.groups(name))
            for name in names
        ],
        resources={
            "store": StoreResource(root=settings.store, cache=str(settings.home / "cache")),
            "mongo": MongoResource(uri=settings.mongodb_uri or ""),
            "engines": EnginesResource(environments="", device="cpu", home=str(settings.home)),
        },
        executor=dg.in_process_executor,
    )


if __name__ == "__main__":
    agent_assets.definitions.defs = definitions
    sys.argv = ["agent-assets", "demo", "--elder", "shen-fu"]
    main()
