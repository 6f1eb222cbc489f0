"""What we add to ART's LocalBackend, with a stand-in for it: the real one needs a GPU."""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_assets.engines.context import EngineContext
from agent_assets.engines.devices.gpu import Device, GpuLease
from agent_assets.engines.environment import EngineEnv
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.errors import EngineFailed, EngineTimeout
from agent_assets.rl.backends import choice
from agent_assets.rl.backends.art_local import open_local_backend
from agent_assets.rl.config import RlConfig
from support.two_doors import TOOLS, Doors, scenario

MODEL: Any = SimpleNamespace(project="p", name="rl")
CONFIG = RlConfig(backend="local", max_model_len=1536)


class LocalBackend:
    """Takes what it is told, and saves a checkpoint at every step whatever the loss."""

    def __init__(self, in_process: bool, path: str) -> None:
        self.path, self.metrics = Path(path), {"loss/train": 0.1, "loss/grad_norm": 0.2}
        self.options: dict[str, Any] = {}

    async def train(self, model: Any, groups: Any, **options: Any) -> Any:
        self.options = options
        folder = self.path / model.project / "models" / model.name / "checkpoints"
        step = 1 + max(int(path.name) for path in folder.iterdir())
        (folder / f"{step:04d}").mkdir()
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            (folder / f"{step:04d}" / name).write_bytes((folder / "0000" / name).read_bytes())
        return SimpleNamespace(step=step, metrics=dict(self.metrics))

    async def register(self, model: Any) -> None:
        if "WANDB_API_KEY" in os.environ:
            model._get_wandb_run()

    async def _delete_checkpoint_files(self, model: Any, steps: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "art.local", SimpleNamespace(LocalBackend=LocalBackend))
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(get_device_name=lambda _: "GPU"))
    )
    monkeypatch.setenv("ART_VLLM_RUNTIME_BIN", "/somewhere/art-vllm-runtime-server")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[EngineContext]:
    with (tmp_path / "lock").open("w") as lock:
        lease = GpuLease(Device("NVIDIA H100", "GPU-bbbb", "1"), lock.fileno(), "test")
        limits = EngineLimits(60, 2**30)
        yield EngineContext(
            EngineEnv("gpu", tmp_path), lease, limits, tmp_path / "logs", tmp_path / "failed"
        )


def test_a_step_whose_loss_is_no_number_leaves_no_checkpoint(tmp_path: Path, adapter: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"base")
    backend: Any = open_local_backend(tmp_path / "art", tmp_path, adapter, CONFIG)

    async def steps() -> None:
        await backend.register(MODEL)
        assert (await backend.train(MODEL, [])).step == 1
        # ART asserts that a context is a whole number of chunks; its own 1024 does not divide 1536.
        assert backend.options["logprob_calculation_chunk_size"] == 512
        backend.metrics["loss/grad_norm"] = float("nan")
        await backend.train(MODEL, [])

    with pytest.raises(
        EngineFailed, match=r"grad_norm .* is nan at step 2; the last good checkpoint is step 1"
    ):
        asyncio.run(steps())
    checkpoints = sorted(path.name for path in (tmp_path / "art").rglob("0*"))
    assert checkpoints == ["0000", "0001"]


def test_it_keeps_to_its_lease_and_its_time_and_opens_no_run_of_its_own(
    tmp_path: Path, adapter: Path, context: EngineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a key for traces")
    opened = SimpleNamespace(init=lambda **_: pytest.fail("a run at W&B was opened"))
    monkeypatch.setitem(sys.modules, "wandb", opened)
    events: list[object] = []

    async def prepared(self: Any, model: Any, config: Any = None) -> tuple[str, str]:
        events.append((os.environ["CUDA_DEVICE_ORDER"], os.environ["CUDA_VISIBLE_DEVICES"]))
        await asyncio.sleep(60)
        return "", ""

    async def nothing(self: Any) -> None:
        events.append("closed")

    monkeypatch.setattr(LocalBackend, "_prepare_backend_for_training", prepared, raising=False)
    monkeypatch.setattr(LocalBackend, "close", nothing, raising=False)
    (tmp_path / "model.safetensors").write_bytes(b"base")
    training = choice.train_rl(
        CONFIG,
        model_dir=tmp_path,
        adapter_dir=adapter,
        scenarios=[scenario()],
        tools=TOOLS,
        toolbox=Doors(),
        context=replace(context, limits=EngineLimits(2, 2**30)),
        work=tmp_path / "work",
        report=lambda message: None,
    )
    with pytest.raises(EngineTimeout, match="past its limit") as caught:
        asyncio.run(training)
    assert "rl.max_minutes" in str(caught.value.next_step)
    assert events == [("PCI_BUS_ID", "1"), "closed"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1" and "CUDA_DEVICE_ORDER" not in os.environ
