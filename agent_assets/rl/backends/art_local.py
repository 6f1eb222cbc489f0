"""ART's own LocalBackend (unsloth and vLLM on a GPU, `rl.backend: local`), bound to our base model
and SFT adapter.

Written from the source of openpipe-art 0.5.18 and not yet run on a GPU. What is done about its
traps:

- `path` is always given: its default is a folder in whatever repository the process stands in.
- It would install a vLLM of its own with uv at run time. `ART_VLLM_RUNTIME_BIN` has to name an
  installed one instead.
- unsloth loads 4-bit weights by default and exchanges names for its own uploads: both are turned
  off, and what was loaded is read back from the adapters that it saves. Other weights are an error
  unless `rl.allow_weight_swap`.
- It starts from the adapter in checkpoint 0000, whose configuration has to name the base by its
  folder.
- It works in this process, outside of lease and limits: `enforce_limits` holds it to both.
- It saves a checkpoint after a loss that is NaN or infinite: that one is deleted, and the run ends.
- Its sequences, at most as long as the context, have to be a whole number of chunks: the chunk is
  made to fit.
"""

import asyncio
import json
import math
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_assets.conversations.messages import JsonObject
from agent_assets.engines.context import EngineContext
from agent_assets.engines.contracts import ADAPTER_CONFIG, ADAPTER_FILES
from agent_assets.engines.servers.base import InferenceServer
from agent_assets.engines.servers.vllm import Vllm
from agent_assets.errors import BaseModelError, EngineFailed, EngineMissing, EngineTimeout
from agent_assets.no_telemetry import send_nothing
from agent_assets.rl.config import RlConfig
from agent_assets.rl.train_loop import Loaded
from agent_assets.settings import ART_RUNTIME, art_runtime, set_environment
from agent_assets.store.manifest import content_version, hash_files

if TYPE_CHECKING:
    from art.backend import AnyModel, AnyTrainableModel
    from art.trajectories import TrajectoryGroup
    from art.types import LocalTrainResult

    from agent_assets.rl.train_loop import TrainingBackend

_BASE = "base_model_name_or_path"
# tokens whose log-probabilities ART computes at once, where it is not told another number
_CHUNK = 1024


def internal_config(config: RlConfig, model_dir: Path, adapter_dir: Path) -> JsonObject:
    """ART's `_internal_config`: exact weights, no quantization, the shape of the SFT adapter, our
    hyper-parameters.
    """
    adapter = json.loads((adapter_dir / "adapter_config.json").read_text(encoding="utf-8"))
    return {
        "init_args": {
            "model_name": str(model_dir),
            "max_seq_length": config.max_model_len,
            "load_in_4bit": False,
            "use_exact_model_name": True,
            "random_state": config.seed,
        },
        "engine_args": {
            "max_model_len": config.max_model_len,
            "seed": config.seed,
            "max_lora_rank": adapter["r"],
        },
        "peft_args": {
            "r": adapter["r"],
            "lora_alpha": adapter["lora_alpha"],
            "target_modules": adapter["target_modules"],
            "random_state": config.seed,
        },
        "trainer_args": {
            "max_grad_norm": config.max_grad_norm,
            "seed": config.seed,
            "weight_decay": 0.0,
        },
        "chat_template_path": str(model_dir / "chat_template.jinja"),
    }


@asynccontextmanager
async def enforce_limits(context: EngineContext) -> AsyncIterator[None]:
    """Keep what this process does in the block to the leased device and the time limit. torch has
    to be imported in it.

    Raises:
        EngineTimeout: the limit was passed.
    """
    device = {} if context.lease is None else context.lease.device.environment
    clock = asyncio.timeout(context.limits.seconds)
    try:
        with set_environment(device):
            async with clock:
                yield
    except TimeoutError as error:
        if not clock.expired():
            raise
        raise EngineTimeout(
            f"Reinforcement learning was ended: it ran past its limit of "
            f"{context.limits.seconds / 60:.1f} minutes.",
            next_step="raise rl.max_minutes, or lower rl.steps; the next run goes on from the "
            "last checkpoint.",
        ) from error


def open_local_backend(
    path: Path, model_dir: Path, adapter_dir: Path, config: RlConfig
) -> "TrainingBackend":
    """The backend, not started yet.

    Raises:
        EngineMissing: openpipe-art's GPU part, or a vLLM it may use, is not installed.
    """
    if not art_runtime():
        raise EngineMissing(
            f"{ART_RUNTIME} is not set: ART would download a vLLM of its own now.",
            next_step=f"set {ART_RUNTIME} to an installed art-vllm-runtime-server (see "
            "docs/rl.md), or leave "
            "rl.backend out.",
        )
    send_nothing()
    try:
        from art.local import LocalBackend
    except ImportError as error:
        raise EngineMissing(
            f"ART's LocalBackend cannot be imported ({error.name}).",
            next_step="run `.venv/bin/pip install -e '.[art-local]'` (docs/rl.md), or leave "
            "rl.backend out.",
        ) from error

    class OurLocalBackend(LocalBackend):
        """LocalBackend that starts from our adapter and says which weights it loaded."""

        def __init__(self) -> None:
            super().__init__(in_process=config.in_process, path=str(path))
            self.server: InferenceServer = Vllm()  # ART's own
            self.extra_body: dict[str, bool] = {}
            self.loaded: Loaded | None = None
            self.peak_memory_bytes = 0

        async def register(self, model: "AnyModel") -> None:
            first = _checkpoint(path, model, 0)
            if not first.exists():
                place_adapter(adapter_dir, first, str(model_dir))
            self.loaded = Loaded(check_weights(first, model_dir, config), _device(), {})
            await super().register(model)

        async def train(
            self,
            model: "AnyTrainableModel",
            trajectory_groups: "Iterable[TrajectoryGroup]",
            **kwargs: Any,
        ) -> "LocalTrainResult":
            if kwargs.get("kl_penalty_coef"):
                kwargs["kl_ref_adapter_path"] = str(_checkpoint(path, model, 0))
            kwargs["logprob_calculation_chunk_size"] = math.gcd(_CHUNK, config.max_model_len)
            result = await super().train(model, trajectory_groups, **kwargs)
            saved = _checkpoint(path, model, result.step)
            _keep_only_numbers(result.metrics, saved, result.step)
            self.loaded = Loaded(check_weights(saved, model_dir, config), _device(), {})
            steps = range(result.step - config.keep_checkpoints + 1, result.step + 1)
            await self._delete_checkpoint_files(model, [0, *steps])
            return result

    return OurLocalBackend()


def _keep_only_numbers(metrics: Mapping[str, float], saved: Path, step: int) -> None:
    for name in ("loss/train", "loss/grad_norm"):
        if not math.isfinite(metrics.get(name, 0.0)):  # a step without any advantage has neither
            shutil.rmtree(saved, ignore_errors=True)
            raise EngineFailed(
                f"{name} of reinforcement learning is {metrics[name]} at step {step}; the last "
                "good checkpoint is step "
                f"{step - 1}.",
                next_step="lower rl.learning_rate; training goes on from that checkpoint.",
            )


def check_weights(adapter_dir: Path, model_dir: Path, config: RlConfig) -> dict[str, str | None]:
    """The base weights that an adapter says it was trained on.

    Raises:
        BaseModelError: they are not our base model, and the configuration does not allow that.
    """
    named = str(json.loads(config_file(adapter_dir).read_text(encoding="utf-8"))[_BASE])
    ours = named.startswith("base:") or Path(named).resolve() == model_dir.resolve()
    if not ours and not config.allow_weight_swap:
        raise BaseModelError(
            f"Other weights than the base model were loaded: {named}.",
            next_step="set rl.allow_weight_swap to true if that is wanted; serving would still "
            "use the base model.",
        )
    return {
        "name": "base_model" if ours else named,
        "sha256": content_version(hash_files(model_dir), only_suffixes=(".safetensors",))
        if ours
        else None,
        "quantization": None if ours else "as named",
        "dtype": "bfloat16",
    }


def place_adapter(adapter_dir: Path, target: Path, base: str) -> None:
    """Copy an adapter, with `base` as the model it belongs to."""
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in ADAPTER_FILES:
        shutil.copyfile(adapter_dir / name, partial / name)
    place_base(partial, base)
    partial.rename(target)


def place_base(adapter_dir: Path, base: str) -> None:
    """Name the base model in an adapter's configuration."""
    path = config_file(adapter_dir)
    settings = json.loads(path.read_text(encoding="utf-8")) | {_BASE: base}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def config_file(adapter_dir: Path) -> Path:
    """The configuration of an adapter."""
    return adapter_dir / ADAPTER_CONFIG


def _checkpoint(path: Path, model: "AnyModel", step: int) -> Path:
    return path / str(model.project) / "models" / str(model.name) / "checkpoints" / f"{step:04d}"


def _device() -> str:
    import torch

    return str(torch.cuda.get_device_name(0))
