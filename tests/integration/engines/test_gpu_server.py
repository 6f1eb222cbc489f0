"""How vLLM is started on a GPU, on a machine that only seems to have one."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import EngineFailed
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages import eval_report
from agent_assets.serving.model_server import ModelServer
from agent_assets.serving_settings import InferenceConfig
from support.fake_gpu import printing_env, show_gpus


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalEngines:
    show_gpus(monkeypatch, tmp_path / "bin")
    printing_env(tmp_path / "envs")
    return LocalEngines(environments=str(tmp_path / "envs"), device="auto", home=str(tmp_path))


def test_serving_compiles_and_takes_the_share_of_memory_it_is_told(
    engines: LocalEngines, tmp_path: Path
) -> None:
    server = ModelServer(
        engines, InferenceConfig(gpu_memory_share=0.4), tmp_path, "0" * 16, tmp_path
    )
    with pytest.raises(EngineFailed):
        asyncio.run(server.ensure())
    (log,) = tmp_path.rglob("server.log")
    text = log.read_text(encoding="utf-8")
    assert "--gpu-memory-utilization 0.4" in text and "--enforce-eager" not in text


def test_servers_of_a_stage_take_the_share_of_memory_they_are_told(
    engines: LocalEngines, tmp_path: Path
) -> None:
    instance = dg.DagsterInstance.ephemeral()
    run = instance.add_run(dg.DagsterRun("job"))
    context: Any = SimpleNamespace(run=run, instance=instance, log=SimpleNamespace(info=print))
    with (
        pytest.raises(EngineFailed),
        engines.serve(
            context,
            tmp_path,
            {"base": {}},
            log_dir=tmp_path / "logs",
            failed_logs=tmp_path / "failed",
            max_model_len=512,
            max_lora_rank=8,
            concurrency=4,
            max_minutes=1,
            max_memory_gb=1,
            gpu_memory_utilization=0.3,
        ),
    ):
        pass
    text = (tmp_path / "logs" / "base" / "server.log").read_text(encoding="utf-8")
    assert "--gpu-memory-utilization 0.3" in text and "--enforce-eager" in text


def test_a_share_of_memory_is_no_part_of_what_a_report_depends_on(tmp_path: Path) -> None:
    (tmp_path / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    config = PipelineConfig.model_validate({"name": "x", "eval_report": {"gpu_memory_share": 0.3}})
    usual = eval_report.config(PipelineSpec(PipelineConfig(name="x"), tmp_path))
    assert (
        eval_report.config(PipelineSpec(config, tmp_path)) == usual
        and "gpu_memory_share" not in usual
    )
