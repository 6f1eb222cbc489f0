"""GGUF files of a tiny random model: written by llama.cpp's converter, verified or refused, and
answered from by a llama.cpp that did not write them.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from agent_assets.engines.environment import EngineEnv, engine_environment
from agent_assets.errors import BaseModelError, ExportError
from agent_assets.export.model_folder import ExportRequest, export_model
from agent_assets.export.released import find_released
from agent_assets.pipeline.assets import build_asset, pipeline_stages
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.exporting import exported_model
from agent_assets.pipeline.stage import (
    PipelineSpec,
    Source,
    Stage,
    StageResult,
    StageRun,
    present_stages,
)
from agent_assets.release.records import CANDIDATE_FILE
from resources.engines import EnginesResource
from resources.store import StoreResource
from support.command_line import ROOT as REPOSITORY
from support.export_world import ELDER, PIPELINE, PROMPT, ExportWorld, make_export_world
from support.tiny_model import make_tool_model

pytestmark = pytest.mark.engine

QUESTION, SAID = "Where did you live?", "I lived by the river Ouse, in York."
MESSAGES = [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUESTION}]
BY_LLAMA = """
import json, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_gpu_layers = sys.argv[1], 512, 0
params.cpuparams.n_threads, params.use_jinja, params.warmup = 1, True, False
server = xllamacpp.Server(params)
answer = server.handle_chat_completions(
    {"messages": json.loads(sys.argv[2]), "temperature": 0, "max_tokens": 40})
print("ANSWER", json.dumps(answer["choices"][0]))
"""


@pytest.fixture(scope="module")
def model(engine_env: EngineEnv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows one answer by heart."""
    said = {"messages": [*MESSAGES, {"role": "assistant", "content": SAID}], "tools": None}
    return make_tool_model(tmp_path_factory.mktemp("model"), [said], engine_env, steps=40)


@pytest.fixture(scope="module")
def world(model: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportWorld:
    return make_export_world(tmp_path_factory.mktemp("export") / "home", model)


def llama_answers(file: Path) -> dict[str, Any]:
    """The first choice of llama.cpp's own server, which did not write the file."""
    server = REPOSITORY / ".venvs" / "test-llama"
    done = subprocess.run(
        [sys.executable, "-c", BY_LLAMA, str(file), json.dumps(MESSAGES)],
        env=engine_environment({}, search_path=server),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert len(lines) == 1, done.stderr[-2000:]
    choice: dict[str, Any] = json.loads(lines[0].removeprefix("ANSWER "))
    return choice


def pipeline(**settings: object) -> PipelineSpec:
    given = {"name": PIPELINE, "partitions": "elders", "exported_model": settings}
    return PipelineSpec(PipelineConfig.model_validate(given), REPOSITORY)


def test_the_asset_is_off_by_default() -> None:
    assert "exported_model" not in pipeline_stages(pipeline())
    assert "exported_model" in pipeline_stages(pipeline(enabled=True))


def materialized(world: ExportWorld) -> dg.ExecuteInProcessResult:
    """`exported_model` of the released weights, in Dagster; what comes before costs nothing."""
    spec = pipeline(enabled=True, quantization="f16")

    def merge(run: StageRun, source: Source, folder: Path) -> StageResult:
        merged = find_released(world.store, ELDER).part("merged").path
        for file in merged.iterdir():
            if file.name != "manifest.json":
                shutil.copyfile(file, folder / file.name)
        return StageResult(summary={})

    def judge(run: StageRun, source: Source, folder: Path) -> StageResult:
        text = find_released(world.store, ELDER).candidate.model_dump_json()
        (folder / CANDIDATE_FILE).write_text(text, encoding="utf-8")
        return StageResult(summary={})

    before = [
        Stage(
            name=name,
            description="",
            deps=(),
            kinds=frozenset(),
            code_version="1",
            config=lambda _: {},
            build=build,
        )
        for name, build in (("merged_model", merge), ("release", judge))
    ]
    stages = present_stages([*before, exported_model.STAGE], spec)
    resources: dict[str, object] = {
        "store": StoreResource(root=world.settings.store, cache=str(world.home)),
        "mongo": dg.ResourceDefinition.none_resource(),
        "engines": EnginesResource(
            environments=str(world.settings.engines), device="cpu", home=str(world.home)
        ),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("elders", [ELDER])
        return dg.materialize(
            [build_asset(stage, spec, stages) for stage in stages.values()],
            instance=instance,
            partition_key=ELDER,
            resources=resources,
        )


def test_llama_cpp_answers_from_the_file_of_the_asset(world: ExportWorld, tmp_path: Path) -> None:
    """With the words that the model learned, by the template in the file, up to its end."""
    result = materialized(world)
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.blocking) == ("verified", True, True)

    # The file of the asset is handed out: nothing is converted again.
    nothing_installed = replace(world.settings, engines=tmp_path / "none")
    request = ExportRequest(ELDER, "ollama", quantization="f16")
    folder, verification = export_model(nothing_installed, request, print)

    assert verification is not None
    assert verification.reference_token_agreement == 1.0
    assert verification.token_agreement >= 0.99
    assert {path.name for path in folder.iterdir()} == {"Modelfile", "export.json", "model.gguf"}
    assert PROMPT in (folder / "Modelfile").read_text(encoding="utf-8")
    # The file itself names the elder: an erasure finds it wherever it lies in the home.
    assert b"ada-11111111" in (folder / "model.gguf").read_bytes()
    answer = llama_answers(folder / "model.gguf")
    assert (answer["message"]["content"], answer["finish_reason"]) == (SAID, "stop")


def test_a_file_that_says_too_much_otherwise_is_not_handed_out(
    world: ExportWorld, tmp_path: Path
) -> None:
    """Weights that learned next to nothing are nearly tied: four bits change what they say."""
    target = tmp_path / "out"
    request = ExportRequest(
        "ada", "gguf", quantization="q4_k_m", folder=target, min_token_agreement=0.999
    )
    with pytest.raises(ExportError, match=r"is not verified, .* positions; 99.9% are asked for"):
        export_model(world.settings, request, print)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_the_converter_does_not_know_is_named(model: Path, tmp_path: Path) -> None:
    unknown = shutil.copytree(model, tmp_path / "model")
    config = json.loads((unknown / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["ZmodelForCausalLM"]
    (unknown / "config.json").write_text(json.dumps(config), encoding="utf-8")
    world = make_export_world(tmp_path / "home", unknown)
    with pytest.raises(BaseModelError, match="architecture ZmodelForCausalLM") as refused:
        export_model(world.settings, ExportRequest("ada", "gguf"), print)
    assert "--to hf" in str(refused.value.next_step)
