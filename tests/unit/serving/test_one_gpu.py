"""One GPU for stages and for serving: shares that fit together, and who has it when. The machine
only seems to have one.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI, Request

from agent_assets.engines.devices.gpu import Device
from agent_assets.engines.devices.hand_over import is_serving, lease_alone, serve_on
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.engines.servers.memory import GIB, gpu_share, smallest_gpu_share
from agent_assets.errors import ConfigError, EngineTimeout
from agent_assets.pipeline.config import EvalConfig
from agent_assets.pipeline.evaluating import served_answers
from agent_assets.pipeline.evaluating.served_answers import evaluation_share
from agent_assets.serving import inference as inference_module
from agent_assets.serving import model_server
from agent_assets.serving.adapters import Busy
from agent_assets.serving.inference import Inference
from agent_assets.serving.problems import add_handlers
from agent_assets.serving_settings import InferenceConfig, ServingConfig
from support.fake_gpu import show_gpus
from support.pretend_servers import PretendEngines, Processes, pretend_processes
from support.waiting import wait_for

GPU = Device("NVIDIA H100 80GB HBM3", "GPU-aaaa", "0")
SECOND = Device("NVIDIA H100 80GB HBM3", "GPU-bbbb", "1")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    monkeypatch.setattr(model_server, "ensure_loaded", lambda *_: None)
    monkeypatch.setattr(model_server, "ensure_unloaded", lambda *_: None)
    processes = pretend_processes(monkeypatch)
    processes.ready.set()
    return processes


def inference_on(folder: Path, *gpus: Device, bases: int = 1, **config: Any) -> Inference:
    engines = cast(LocalEngines, PretendEngines(str(folder), gpus))
    return Inference(engines, InferenceConfig(**config), folder, lambda: bases)


async def ask(inference: Inference, folder: Path, base: str = "a") -> None:
    (folder / base).mkdir(exist_ok=True)
    async with inference.use(folder / base, f"version-{base}", f"agent-{base}", folder):
        pass


async def _until(what: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, what, every=0.01)


def stage_has(folder: Path, *gpus: Device) -> Any:
    """A stage of a run has the first GPU that it gets during the block."""
    return lease_alone(
        gpus or [GPU], folder / "leases", holder="run", timeout_seconds=5, report=print
    )


def test_a_stage_gets_the_gpu_when_what_was_begun_is_answered(
    tmp_path: Path, processes: Processes
) -> None:
    inference = inference_on(tmp_path, GPU, gpu_wait_seconds=0.2)
    got = asyncio.Event()

    async def stage(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        def hold() -> None:
            with stage_has(tmp_path):
                assert not processes.models, "no model server is beside a stage"
                loop.call_soon_threadsafe(got.set)
                asyncio.run_coroutine_threadsafe(over.wait(), loop).result()

        await asyncio.to_thread(hold)

    async def work() -> None:
        over = asyncio.Event()
        (tmp_path / "a").mkdir()
        async with inference.use(tmp_path / "a", "version-a", "agent-a", tmp_path):
            assert is_serving(tmp_path / "leases", GPU)
            running = asyncio.create_task(stage(asyncio.get_running_loop(), over))
            await asyncio.sleep(0.7)
            assert processes.models == ["a"] and not got.is_set(), "the answer goes on"
            with pytest.raises(Busy) as caught:
                await ask(inference, tmp_path)  # nobody new is answered: the stage waits
            assert caught.value.retry_after == 60
        await asyncio.wait_for(got.wait(), 10)
        with pytest.raises(Busy, match="has the GPU"):
            await ask(inference, tmp_path)
        waiting = asyncio.create_task(ask(inference, tmp_path))
        over.set()
        await asyncio.gather(running, waiting)
        assert processes.models == ["a"] and len(processes.started) == 2
        await inference.close()

    asyncio.run(work())
    assert not is_serving(tmp_path / "leases", GPU)


def test_a_request_waits_while_a_stage_has_the_gpu(tmp_path: Path, processes: Processes) -> None:
    inference = inference_on(tmp_path, GPU, gpu_wait_seconds=30)

    async def work() -> None:
        with stage_has(tmp_path):
            waiting = asyncio.create_task(ask(inference, tmp_path))
            await asyncio.sleep(0.2)
            assert not processes.started
        await asyncio.wait_for(waiting, 10)
        await inference.close()

    asyncio.run(work())


def test_with_two_gpus_a_stage_takes_the_one_that_serves_nobody(
    tmp_path: Path, processes: Processes
) -> None:
    inference = inference_on(tmp_path, GPU, SECOND)

    async def work() -> None:
        await ask(inference, tmp_path)
        with stage_has(tmp_path, GPU, SECOND) as lease:
            assert lease.device == SECOND
            await ask(inference, tmp_path)
        await inference.close()
        with stage_has(tmp_path, GPU, SECOND) as lease:
            later = inference_on(tmp_path, GPU, SECOND)
            await ask(later, tmp_path)
            places = [process.asked["lease"].device for process in processes.started]
            assert (lease.device, places) == (GPU, [GPU, SECOND])
            await later.close()

    asyncio.run(work())


def test_a_stage_says_who_does_not_leave_its_gpu(tmp_path: Path) -> None:
    leases, lines = tmp_path / "leases", list[str]()
    assert serve_on([GPU], leases) is not None
    with (
        pytest.raises(EngineTimeout) as caught,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr("agent_assets.engines.devices.hand_over._HAND_OVER_SECONDS", 0.1)
        with lease_alone([GPU], leases, holder="run", timeout_seconds=5, report=lines.append):
            pass
    assert "did not leave NVIDIA H100" in caught.value.message
    assert "inference.gpu: share" in (caught.value.next_step or "")
    assert lines == ["waiting for the model server to leave NVIDIA H100 80GB HBM3"]


def test_where_the_gpu_is_shared_serving_stays(tmp_path: Path, processes: Processes) -> None:
    inference = inference_on(tmp_path, GPU, gpu="share")

    async def work() -> None:
        await ask(inference, tmp_path)
        with stage_has(tmp_path):
            await ask(inference, tmp_path)
        assert len(processes.started) == 1
        assert processes.started[0].asked["gpu_memory_utilization"] == 0.45
        await inference.close()

    asyncio.run(work())


def test_default_shares_of_serving_and_evaluation_fit_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def share(evaluation: float | None = None, **inference: Any) -> float:
        config = ServingConfig(inference=InferenceConfig(**inference))
        monkeypatch.setattr(served_answers, "load_serving", lambda: config)
        return evaluation_share(EvalConfig(gpu_memory_share=evaluation))

    assert share() == InferenceConfig().gpu_memory == 0.85, "one after the other"
    beside = InferenceConfig(gpu="share")
    assert share(gpu="share") + beside.gpu_memory == pytest.approx(0.95)
    assert share(gpu="share", gpu_memory_share=0.7) == pytest.approx(0.25)
    with pytest.raises(ConfigError, match=r"keeps 0\.45 of the GPU"):
        share(0.85, gpu="share")
    with pytest.raises(ConfigError, match=r"asks for 0\.00"):
        share(gpu="share", gpu_memory_share=0.95)


@pytest.mark.parametrize(
    ("bases", "taken", "needed", "share"),
    [
        (1, [], 0.0, 0.85),  # all agents rest on one base model: it has everything
        (2, [], 0.1, 0.425),
        (2, [0.425], 0.1, 0.425),
        (3, [0.283, 0.283], 0.1, 0.283),
        (2, [], 0.6, 0.6),  # a large one needs more than its part
        (2, [0.6], 0.3, None),  # then the other has no room beside it
        (2, [0.6], 0.2, 0.25),
        (1, [], 0.95, 0.85),  # too large for the card: vLLM says so
    ],
)
def test_base_models_share_a_gpu(
    bases: int, taken: list[float], needed: float, share: float | None
) -> None:
    assert gpu_share(0.85, bases, taken=taken, needed=needed) == pytest.approx(share, abs=0.002)


def test_two_base_models_on_one_gpu_have_a_share_each_and_a_third_takes_the_place_of_one(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", "echo 24576")
    inference = inference_on(tmp_path, GPU, bases=2)
    monkeypatch.setattr(inference_module, "_POLL_SECONDS", 0.05)

    async def work() -> None:
        for base in "abc":
            await ask(inference, tmp_path, base)
        shares = [process.asked["gpu_memory_utilization"] for process in processes.started]
        assert (processes.models, shares) == (["b", "c"], [0.425, 0.425, 0.425])
        await inference.close()

    asyncio.run(work())


def test_what_a_model_needs_of_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", "echo 24576")  # MiB
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(8 * GIB)
    assert smallest_gpu_share(tmp_path, GPU) == pytest.approx((8.8 + 4) / 24, abs=0.01)


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions"])
def test_who_asks_meanwhile_is_told_when_to_come_back(path: str) -> None:
    app = FastAPI()
    add_handlers(app)

    @app.post(path)
    async def route(request: Request) -> None:
        request.state.request_id = "1"
        raise Busy("A training has the GPU.", next_step="wait.", retry_after=60)

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.post(path)

    response = asyncio.run(post())
    assert (response.status_code, response.headers["retry-after"]) == (503, "60")
    assert "A training has the GPU." in response.text
