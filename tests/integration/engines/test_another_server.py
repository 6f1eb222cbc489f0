"""Evaluation and serving on another inference server than vLLM: nothing but its one file knows its
name and routes.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from openai import OpenAI

from agent_assets.conversations.items import EvalItem, write_items
from agent_assets.conversations.memories import ElderProfile, Memory, write_memories
from agent_assets.conversations.tools import schema_snapshot
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.evaluation.report_schema import read_report
from agent_assets.pipeline.assets import build_asset
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import (
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
    present_stages,
)
from agent_assets.pipeline.stages import eval_report
from agent_assets.resources.store import StoreResource
from agent_assets.serving.model_server import ModelServer
from agent_assets.serving_settings import InferenceConfig
from support.echo_server import EchoServer, standard_library_environment
from support.yaml_pipelines import CLOCK

SHARED = ("base_model", "mcp_tool_schema")
ANSWERS = {"base_model": "In Boston, I think.", "sft_adapter": "I was never told about that."}


def engines_of(folder: Path) -> LocalEngines:
    environments = standard_library_environment(folder / "environments")
    return LocalEngines(
        environments=str(environments), device="cpu", home=str(folder), server=EchoServer()
    )


def input_stage(name: str) -> Stage:
    """What evaluation is given: two models that always answer the same, no tools, questions about
    what nobody told.
    """

    def build(run: StageRun, source: Source, folder: Path) -> StageResult:
        if name == "mcp_tool_schema":
            (folder / "tool_schema.json").write_text(schema_snapshot([]), encoding="utf-8")
        elif name == "train_jsonl":
            items = [
                EvalItem(f"i{n}", "abstention", "unseen", "en", f"Where was {n}?", "You are Ada.")
                for n in (1, 2)
            ]
            write_items(folder / "heldout.jsonl", items)
        else:
            (folder / "answer.txt").write_text(ANSWERS[name], encoding="utf-8")
        return StageResult(summary={})

    return Stage(
        name=name,
        description="",
        deps=(),
        kinds=frozenset(),
        code_version="1",
        config=lambda _: {},
        build=build,
    )


def test_the_graph_evaluates_on_it(tmp_path: Path) -> None:
    (tmp_path / "mcp_config.json").write_text(json.dumps(CLOCK), encoding="utf-8")
    spec = PipelineSpec(PipelineConfig(name="agent"), tmp_path)
    inputs = [input_stage(name) for name in (*ANSWERS, "mcp_tool_schema", "train_jsonl")]
    stages = present_stages([*inputs, eval_report.STAGE], spec)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [build_asset(stage, spec, stages) for stage in stages.values()],
            instance=instance,
            resources={
                "store": StoreResource(root=str(tmp_path / "store"), cache=str(tmp_path)),
                "mongo": dg.ResourceDefinition.none_resource(),
                "engines": engines_of(tmp_path),
            },
        )
    assert result.success
    (manifest,) = (tmp_path / "store" / "agent" / "eval_report").rglob("manifest.json")
    report = read_report(manifest.parent)
    assert {name: scores.means["abstention"] for name, scores in report.variants.items()} == {
        "base": 0.0,
        "sft": 1.0,
    }
    assert report.timings["sft"].completion_tokens == 6 and not any(report.failures.values())
    assert report.answering is not None and report.answering.server == "echo"
    assert report.answering.names == {"sft": f"agent-{report.models['sft'][:8]}"}  # as serving's
    assert report.first_line == (
        "SFT beats Base: 2 against 0 of 2 right (+100.0 points [+100.0, +100.0])."
    )
    assert json.loads(manifest.read_text(encoding="utf-8"))["engine"] == {
        "name": "echo",
        "versions": {"echo": "1.5"},
    }


SECRET = "My brother hid nine letters under the floor of the mill."


def memories_of_two() -> Stage:
    """What elders told: eve her secret, ada something else."""

    def build(run: StageRun, source: Source, folder: Path) -> StageResult:
        name = str(run.partition)
        text = SECRET if name == "eve" else "I sold candles in Boston."
        write_memories(folder, ElderProfile(name, name), [Memory("m1", f"{name}, what?", text)])
        return StageResult(summary={})

    return replace(input_stage("elder_memories"), build=build)


def test_other_elders_questions_are_asked_and_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, "sft_adapter", SECRET)
    (tmp_path / "mcp_config.json").write_text(json.dumps(CLOCK), encoding="utf-8")
    spec = PipelineSpec(PipelineConfig(name="agent", partitions="elders"), tmp_path)
    shared = [replace(input_stage(name), partitioned=False) for name in SHARED]
    inputs = [
        *shared,
        memories_of_two(),
        *(input_stage(name) for name in ("sft_adapter", "train_jsonl")),
    ]
    stages = present_stages([*inputs, eval_report.STAGE], spec)
    assets = {name: build_asset(stage, spec, stages) for name, stage in stages.items()}
    engines = engines_of(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("elders", ["ada", "eve"])

        def materialize(names: Iterable[str], elder: str | None) -> None:
            assert dg.materialize(
                list(assets.values()),
                instance=instance,
                partition_key=elder,
                selection=[spec.key(name) for name in names],
                resources={
                    "store": StoreResource(root=str(tmp_path / "store"), cache=str(tmp_path)),
                    "mongo": dg.ResourceDefinition.none_resource(),
                    "engines": engines,
                },
            ).success

        materialize(SHARED, None)
        materialize(["elder_memories"], "eve")
        materialize(stages.keys() - set(SHARED), "ada")
    (manifest,) = (tmp_path / "store" / "agent" / "eval_report").rglob("manifest.json")
    cross = read_report(manifest.parent).cross
    assert cross is not None and (cross.questions, cross.repeated) == (1, {"base": 0, "sft": 1})
    assert cross.leaks("sft")
    files = [path for path in manifest.parent.rglob("*") if path.suffix in (".json", ".html")]
    assert not any("eve, what?" in path.read_text(encoding="utf-8") for path in files)


def test_the_api_loads_and_unloads_adapters_on_it(tmp_path: Path) -> None:
    base, first, second = (tmp_path / name for name in ("base", "first", "second"))
    for folder in (base, first, second):
        folder.mkdir()
        (folder / "answer.txt").write_text(f"I am {folder.name}.", encoding="utf-8")

    async def answer(server: ModelServer, name: str, adapter: Path) -> tuple[str | None, list[str]]:
        async with server.use(name, adapter) as served:
            with OpenAI(base_url=served.base_url, api_key="local") as client:
                reply = client.chat.completions.create(
                    model=served.model, messages=[{"role": "user", "content": "?"}]
                )
                loaded = sorted(
                    model.id for model in client.models.list() if not model.id.startswith("model-")
                )
        return reply.choices[0].message.content, loaded

    async def run() -> list[tuple[str | None, list[str]]]:
        server = ModelServer(
            engines_of(tmp_path), InferenceConfig(slots=1), base, "abc", tmp_path / "logs"
        )
        try:
            return [await answer(server, "ada-1", first), await answer(server, "ben-2", second)]
        finally:
            await server.close()

    assert asyncio.run(run()) == [("I am first.", ["ada-1"]), ("I am second.", ["ben-2"])]
