"""Reinforcement learning on a GPU: which backend, how memory is shared, and a training where there
is a GPU.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent_assets.engines.context import EngineContext
from agent_assets.engines.devices.gpu import detect_gpus, lease_device
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.errors import ConfigError, EngineFailed, EngineMissing
from agent_assets.pipeline.config import PipelineConfig
from agent_assets.pipeline.stage import PipelineSpec
from agent_assets.pipeline.stages import rl_checkpoint
from agent_assets.rl.backends.choice import _backend
from agent_assets.rl.backends.engine import EngineBackend
from agent_assets.rl.config import RlConfig
from support.fake_gpu import printing_env
from support.two_doors import SETTINGS, train

LIMITS = EngineLimits(60, 2**30)
# The trainer takes a moment until it is ready; whatever else is started says whether it was.
READY = {
    "method": "report_custom_message",
    "params": {
        "payload": {
            "kind": "ready",
            "versions": {},
            "device": "cpu",
            "peak_memory_bytes": 0,
            "kernels": [],
            "weights_loaded": {"name": "base_model", "sha256": "0", "dtype": "float32"},
        }
    },
}
PROGRAMS = f"""
case "$*" in
  *rl_trainer*) sleep 0.5; touch ready; echo '{json.dumps(READY)}' >> .pipes-messages; exec sleep 60 ;;
  *) if [ -e ../trainer/ready ]; then echo "after the trainer"; fi ;;
esac
"""  # noqa: E501


def context_of(env: EngineEnv, work: Path) -> EngineContext:
    return EngineContext(env, None, LIMITS, work / "logs", work / "failed")


def test_the_engine_environment_is_all_that_training_needs_on_cpu_and_gpu(
    tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ART_VLLM_RUNTIME_BIN", raising=False)
    for name in ("cpu", "gpu"):
        context = context_of(EngineEnv(name, tmp_path), tmp_path)
        assert isinstance(
            _backend(RlConfig(), tmp_path, adapter, context, tmp_path / "art")[0], EngineBackend
        )
    local = RlConfig(backend="local")
    with pytest.raises(ConfigError, match=r"rl\.backend is local.*no GPU"):
        _backend(
            local,
            tmp_path,
            adapter,
            context_of(EngineEnv("cpu", tmp_path), tmp_path),
            tmp_path / "art",
        )
    with pytest.raises(EngineMissing, match="ART_VLLM_RUNTIME_BIN") as caught:
        _backend(
            local,
            tmp_path,
            adapter,
            context_of(EngineEnv("gpu", tmp_path), tmp_path),
            tmp_path / "art",
        )
    assert "art-vllm-runtime-server" in str(caught.value.next_step)


def test_on_a_gpu_the_server_takes_its_share_when_the_trainer_has_its_own(
    tmp_path: Path, adapter: Path
) -> None:
    import art

    config = RlConfig(server_memory_share=0.3)
    context = context_of(printing_env(tmp_path / "envs", PROGRAMS), tmp_path)
    backend = EngineBackend(
        path=tmp_path / "art",
        model_dir=tmp_path,
        adapter_dir=adapter,
        config=config,
        context=context,
    )
    model: Any = art.TrainableModel(
        name="rl", project="p", base_model="base", base_path=str(tmp_path), report_metrics=[]
    )

    async def start() -> None:
        try:
            await model.register(backend)
        finally:
            await backend.close()

    with pytest.raises(EngineFailed, match="vllm ended"):
        asyncio.run(start())
    text = (tmp_path / "logs" / "server" / "server.log").read_text(encoding="utf-8")
    assert text.startswith("after the trainer") and "--gpu-memory-utilization 0.3" in text


def test_how_a_gpu_is_shared_changes_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "mcp_config.json").write_text('{"mcpServers": {}}', encoding="utf-8")

    def told(**rl: Any) -> dict[str, Any]:
        spec = PipelineSpec(PipelineConfig.model_validate({"name": "x", "rl": rl}), tmp_path)
        return dict(rl_checkpoint.config(spec))

    assert told(server_memory_share=0.3) == told(backend="engine") == told()
    assert not {"backend", "server_memory_share"} & set(told())
    assert told(backend="local") == told() | {"backend": "local"}


@pytest.mark.gpu
@pytest.mark.engine
@pytest.mark.skipif(not detect_gpus(), reason="needs a GPU")
def test_it_learns_on_a_gpu(doors: Path, tmp_path: Path) -> None:
    with lease_device(
        detect_gpus(), tmp_path / "leases", holder="test", timeout_seconds=10
    ) as lease:
        config = RlConfig(**SETTINGS)
        outcome = train(
            tmp_path, doors / "model", doors / "adapter", config, env="gpu", lease=lease
        )
    assert len(outcome.steps) == config.steps and outcome.learned
    rewards = [step.numbers["reward"] for step in outcome.steps]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3
    ratios = [step.numbers["train"].get("probability_ratio", 1.0) for step in outcome.steps]
    assert all(0.8 < ratio < 1.2 for ratio in ratios), ratios
