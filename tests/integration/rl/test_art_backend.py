"""The protocol between openpipe-art and our backend. When this fails after an upgrade, read its new
backend.py.
"""

import asyncio
import inspect
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from agent_assets.engines.context import EngineContext
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.errors import BaseModelError, ConfigError, EngineMissing
from agent_assets.rl.backends.art_local import check_weights, internal_config, open_local_backend
from agent_assets.rl.backends.engine import EngineBackend
from agent_assets.rl.config import RlConfig

PROTOCOL = {
    "_delete_checkpoint_files",
    "_get_step",
    "_model_inference_name",
    "_prepare_backend_for_training",
    "_train_sft",
    "close",
    "register",
    "train",
}


def backend_of(tmp_path: Path, adapter: Path, config: RlConfig) -> EngineBackend:
    context = EngineContext(
        EngineEnv("cpu", tmp_path), None, EngineLimits(60, 2**30), tmp_path, tmp_path
    )
    return EngineBackend(
        path=tmp_path / "art",
        model_dir=tmp_path,
        adapter_dir=adapter,
        config=config,
        context=context,
    )


def test_the_protocol_is_the_one_our_backend_was_written_for() -> None:
    from art.backend import Backend

    assert version("openpipe-art") == "0.5.18"
    members = {
        name
        for name, _ in inspect.getmembers(Backend, inspect.isfunction)
        if name not in ("__init__",)
    }
    assert {
        name for name in members if not name.startswith("__") and name != "_no_init_or_replace_init"
    } == PROTOCOL
    for name in PROTOCOL:
        theirs = list(inspect.signature(getattr(Backend, name)).parameters)
        ours = list(inspect.signature(getattr(EngineBackend, name)).parameters)
        assert theirs == ours, name


def test_the_typed_model_carries_our_configuration_through_arts_own_code(
    tmp_path: Path, adapter: Path
) -> None:
    import art

    config = RlConfig(steps=3, learning_rate=1e-4)
    backend = backend_of(tmp_path, adapter, config)

    async def prepared(*_: Any) -> tuple[str, str]:
        return "http://127.0.0.1:1/v1", "local"

    backend._prepare_backend_for_training = prepared  # type: ignore[method-assign, assignment]  # no engine is started here
    model = art.TrainableModel[RlConfig](
        name="rl",
        project="p",
        config=config,
        base_model="base",
        base_path=str(tmp_path),
        report_metrics=[],
    )

    async def run() -> tuple[int, str]:
        await model.register(backend)
        return await model.get_step(), model.get_inference_name()

    assert asyncio.run(run()) == (0, "rl@0")
    assert model.config.learning_rate == 1e-4
    assert (backend.checkpoint(model, 0) / "adapter_model.safetensors").read_bytes() == b"weights"
    for step in (1, 2, 3):
        backend._repeat(model, step)
    asyncio.run(backend._delete_checkpoint_files(model, [2, 3]))
    checkpoints = sorted(path.name for path in backend.checkpoint(model, 0).parent.iterdir())
    assert checkpoints == ["0000", "0002", "0003"]
    with pytest.raises(ConfigError, match="no other learning rate"):
        asyncio.run(backend.train(model, [], learning_rate=1.0))


def test_the_local_backend_pins_weights_and_downloads_nothing(
    tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RlConfig()
    internal = internal_config(config, tmp_path, adapter)
    assert (
        internal["init_args"]["load_in_4bit"] is False
        and internal["init_args"]["use_exact_model_name"] is True
    )
    assert (internal["peft_args"]["r"], internal["peft_args"]["lora_alpha"]) == (16, 32)
    monkeypatch.delenv("ART_VLLM_RUNTIME_BIN", raising=False)
    with pytest.raises(EngineMissing, match="would download a vLLM"):
        open_local_backend(tmp_path, tmp_path, adapter, config)
    (tmp_path / "model.safetensors").write_bytes(b"base")
    assert check_weights(adapter, tmp_path, config)["name"] == "base_model"
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = "unsloth/Qwen3-0.6B-unsloth-bnb-4bit"
    (adapter / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(BaseModelError, match="bnb-4bit"):
        check_weights(adapter, tmp_path, config)
    allowed = check_weights(adapter, tmp_path, RlConfig(backend="local", allow_weight_swap=True))
    assert allowed["name"] == "unsloth/Qwen3-0.6B-unsloth-bnb-4bit"
