"""ART's backend protocol on the engine environment alone, CPU or GPU: vLLM with hot-loaded
adapters, our own trainer.

On a GPU both share its memory: vLLM takes `rl.server_memory_share` of it when it starts, the
trainer what it needs of the rest.

The protocol is `art.backend.Backend` of openpipe-art 0.5.18; half of its names are underscored, so
the version is pinned exactly and tests/integration/rl holds this class to it. Files lie as ART lays
them out: `<path>/<project>/models/<name>/checkpoints/NNNN`; checkpoint 0000 is the adapter that
training starts from.
"""

import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.engines.context import EngineContext
from agent_assets.engines.contracts import ADAPTER_FILES
from agent_assets.engines.launch.process import BACKGROUND_NICENESS
from agent_assets.engines.launch.resident import Trainer
from agent_assets.engines.rl_contracts import LearnedSequence, LearnRequest, TrainerParams
from agent_assets.engines.servers.serve import Endpoint, serve_model
from agent_assets.errors import ConfigError, EngineFailed
from agent_assets.rl.advantages import sequences, turn_advantages
from agent_assets.rl.config import RlConfig
from agent_assets.rl.train_loop import Loaded, loaded_of

if TYPE_CHECKING:
    from art import dev
    from art.backend import AnyModel, AnyTrainableModel
    from art.trajectories import Trajectory, TrajectoryGroup
    from art.types import LocalTrainResult, TrainSFTConfig


class EngineBackend:
    """One model at a time. `path` holds checkpoints and what ART logs; a later backend on it goes
    on where this ended.

    Args:
        adapter_dir: the adapter that training starts from.
        config: hyper-parameters; `train` takes the learning rate from its caller, as ART's own
            backends do, and has to be given the one in here.
    """

    def __init__(
        self,
        *,
        path: Path,
        model_dir: Path,
        adapter_dir: Path,
        config: RlConfig,
        context: EngineContext,
    ) -> None:
        self._path, self._model_dir, self._adapter_dir = path, model_dir, adapter_dir
        self._config, self._context = config, context
        self._stack = ExitStack()
        self._endpoint: Endpoint | None = None
        self._trainer: Trainer | None = None
        self.loaded: Loaded | None = None
        self.server = context.server
        self.extra_body: dict[str, bool] = dict(
            context.server.token_ids_body
        )  # what rollouts have to ask the server for

    @property
    def peak_memory_bytes(self) -> int:
        """Resident peak of the server and the trainer together, at most."""
        server = 0 if self._endpoint is None else self._endpoint.peak_memory_bytes
        return server + (0 if self._trainer is None else self._trainer.peak_memory_bytes)

    async def register(self, model: "AnyModel") -> None:
        """Give the model its folder, with the first adapter as checkpoint 0000."""
        model.base_path = str(self._path)
        first = self.checkpoint(model, 0)
        if not first.exists():
            partial = first.with_name(".0000")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name in ADAPTER_FILES:
                shutil.copyfile(self._adapter_dir / name, partial / name)
            partial.rename(first)

    async def _prepare_backend_for_training(
        self, model: "AnyTrainableModel", config: "dev.OpenAIServerConfig | None" = None
    ) -> tuple[str, str]:
        """Start the trainer and the server; base URL and key of the server.

        Raises:
            EngineError: one of them did not start.
        """
        step = await self._get_step(model)
        context, settings = self._context, self._config
        folder = context.log_dir / "trainer"
        trainer = Trainer(
            folder,
            self._trainer_params(model, step, folder),
            env=context.env,
            limits=context.limits,
            lease=context.lease,
        )
        self._trainer = trainer
        self._stack.callback(trainer.stop)
        if context.env.name == "gpu":
            # vLLM measures the GPU while it starts, and fails or takes less when somebody else's
            # share moves meanwhile.
            await trainer.ready()
        name = self._model_inference_name(model, step)
        self._endpoint = self._stack.enter_context(
            serve_model(
                context.server,
                env=context.env,
                model_dir=self._model_dir,
                log_dir=context.log_dir / "server",
                limits=context.limits,
                max_model_len=settings.max_model_len,
                adapters={name: self.checkpoint(model, step)},
                max_loras=1,
                lease=context.lease,
                max_concurrency=settings.concurrency,
                failed_logs=context.failed_logs,
                gpu_memory_utilization=settings.server_memory_share,
                niceness=BACKGROUND_NICENESS,
                tool_call_parser=context.tool_call_parser,
            )
        )
        self.loaded = loaded_of(await trainer.ready())
        return self._endpoint.base_url, "local"

    def _model_inference_name(self, model: "AnyModel", step: int | None = None) -> str:
        """Name under which the adapter of a step answers (default: the latest)."""
        return f"{model.name}@{self._latest(model) if step is None else step}"

    async def _get_step(self, model: "AnyTrainableModel") -> int:
        """Latest complete checkpoint."""
        return self._latest(model)

    async def train(
        self,
        model: "AnyTrainableModel",
        trajectory_groups: "Iterable[TrajectoryGroup]",
        **kwargs: object,
    ) -> "LocalTrainResult":
        """One step on the groups, then the new adapter in place of the old one in the server.

        A step whose groups all have equal rewards keeps the adapter as it is and still counts.

        Raises:
            EngineError: trainer or server failed, or the loss is NaN or infinite.
            ConfigError: a hyper-parameter other than those of the configuration.
        """
        from art.types import LocalTrainResult

        wrong = set(kwargs) - {
            "learning_rate",
            "scale_rewards",
            "loss_fn",
            "epsilon",
            "kl_penalty_coef",
        }
        if (
            wrong
            or kwargs.get("learning_rate", self._config.learning_rate) != self._config.learning_rate
        ):
            raise ConfigError(
                f"The backend takes no {', '.join(sorted(wrong)) or 'other learning rate'} "
                "per step.",
                next_step="set it in `rl` of defs.yaml.",
            )
        if self._trainer is None or self._endpoint is None:
            raise EngineFailed(
                "The backend was not started.", next_step="call model.register(backend) first."
            )
        groups = list(trajectory_groups)
        step = self._latest(model) + 1
        request = self._request(groups)
        if request.sequences:
            metrics = asdict(await self._trainer.learn(step, request))
        else:
            self._repeat(model, step)
            metrics = {"loss": 0.0, "grad_norm": 0.0, "trained_tokens": 0, "seconds": 0.0}
        url = self._endpoint.base_url
        self.server.load_adapter(
            url, self._model_inference_name(model, step), self.checkpoint(model, step)
        )
        self.server.unload_adapter(url, self._model_inference_name(model, step - 1))
        await self._delete_checkpoint_files(
            model, list(range(step - self._config.keep_checkpoints + 1, step + 1))
        )
        return LocalTrainResult(
            step=step, metrics=metrics, checkpoint_path=str(self.checkpoint(model, step))
        )

    async def _train_sft(
        self,
        model: "AnyTrainableModel",
        trajectories: "Iterable[Trajectory]",
        config: "TrainSFTConfig",
        dev_config: "dev.TrainSFTConfig",
        verbose: bool = False,
    ) -> AsyncIterator[dict[str, float]]:
        """Not here: the stage `sft_adapter` does that."""
        raise ConfigError(
            "This backend trains by rewards only.", next_step="use the stage sft_adapter for SFT."
        )
        yield {}  # what makes it an iterator

    async def _delete_checkpoint_files(
        self, model: "AnyTrainableModel", steps_to_keep: list[int]
    ) -> None:
        """Delete checkpoints except these and 0000, which the KL term and a resumed run need."""
        for folder in self.checkpoint(model, 0).parent.iterdir():
            if folder.name.isdigit() and int(folder.name) not in {0, *steps_to_keep}:
                shutil.rmtree(folder)

    async def close(self) -> None:
        """End server and trainer."""
        self._stack.close()

    def checkpoint(self, model: "AnyModel", step: int) -> Path:
        """Folder of a checkpoint."""
        return self._path / model.project / "models" / model.name / "checkpoints" / f"{step:04d}"

    def _latest(self, model: "AnyModel") -> int:
        folder = self.checkpoint(model, 0).parent
        return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)

    def _trainer_params(self, model: "AnyModel", step: int, folder: Path) -> TrainerParams:
        return TrainerParams(
            model_dir=self._model_dir,
            checkpoints=self.checkpoint(model, 0).parent,
            start_step=step,
            requests=folder,
            learning=self._config.hyper_params(),
        )

    def _request(self, groups: "list[TrajectoryGroup]") -> LearnRequest:
        """The turns that have an advantage; with a KL term also the others, which then pull towards
        the reference.
        """
        from openai.types.chat.chat_completion import Choice

        learned: list[LearnedSequence] = []
        for group in groups:
            rollouts = [
                [choice for choice in each.messages_and_choices if isinstance(choice, Choice)]
                for each in group
            ]
            values = turn_advantages(
                rollouts, [each.reward for each in group], self._config.advantage
            )
            for turns, own in zip(rollouts, values, strict=True):
                learned += sequences(turns, own, keep_all=self._config.kl > 0)
        return LearnRequest(learned, rollouts=sum(len(group) for group in groups))

    def _repeat(self, model: "AnyModel", step: int) -> None:
        """The checkpoint of a step that taught nothing: the files of the one before."""
        partial = self.checkpoint(model, step).with_name(f".{step:04d}")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(self.checkpoint(model, step - 1), partial)
        partial.rename(self.checkpoint(model, step))
