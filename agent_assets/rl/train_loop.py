"""The training loop with openpipe-art: groups of rollouts, rewards, one `backend.train` per step,
until it is done.

The same loop drives our own backend and ART's LocalBackend. It stops early, with a verdict, when
the groups teach nothing, and goes on from the last checkpoint when a run before was killed.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent_assets.agent.chat_model import request_body
from agent_assets.agent.loop import ToolCaller
from agent_assets.conversations.messages import JsonObject, Message, ToolSchema
from agent_assets.engines.rl_contracts import GrpoReady, TrainerReady
from agent_assets.no_telemetry import send_nothing
from agent_assets.rl.config import RlConfig
from agent_assets.rl.early_stopping import no_signal, progress_message, reached, verdict
from agent_assets.rl.judge import Judge
from agent_assets.rl.records import (
    TrainingStep,
    describe_step,
    read_steps,
    total,
    write_step,
    zero_variance_share,
)
from agent_assets.rl.rollouts import OVER_LENGTH, Trajectory, roll_out_groups
from agent_assets.rl.scenarios.scenarios import Scenario, schedule
from agent_assets.rl.scoring import Scoring

if TYPE_CHECKING:
    import art
    from art.backend import Backend
    from art.types import MessageOrChoice
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

    from agent_assets.engines.servers.base import InferenceServer

ReportProgress = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True)
class Loaded:
    """What a backend really works with.

    Args:
        weights: the base weights: name, sha256, dtype, quantization.
        versions: of the libraries that trained.
    """

    weights: Mapping[str, str | None]
    device: str
    versions: Mapping[str, str]


def loaded_of(ready: TrainerReady | GrpoReady) -> Loaded:
    """What a program of the engine environment says once its model is loaded."""
    return Loaded(asdict(ready.weights_loaded), ready.device, ready.versions)


if TYPE_CHECKING:

    class TrainingBackend(Backend, Protocol):
        """ART's own protocol, and what the loop needs besides.

        `server` samples; `extra_body` is sent with every request of a rollout; `loaded` is known
        once it was started.
        """

        server: InferenceServer
        extra_body: dict[str, bool]
        loaded: Loaded | None

        @property
        def peak_memory_bytes(self) -> int:
            """Resident peak so far."""
            ...


@dataclass(frozen=True)
class TrainingOutcome:
    """How a run ended. `verdict` says in words what was learned; `learned` is False when nothing
    could be.
    """

    steps: list[TrainingStep]
    learned: bool
    verdict: str
    checkpoint: Path


async def learn(
    backend: "TrainingBackend",
    *,
    name: str,
    project: str,
    base_model: Path,
    config: RlConfig,
    scenarios: Sequence[Scenario],
    tools: Sequence[ToolSchema],
    toolbox: ToolCaller,
    judge: Judge | None,
    records: Path,
    path: Path,
    report: ReportProgress,
    internal_config: JsonObject | None = None,
) -> TrainingOutcome:
    """Train until the configured steps are done, or nothing is left to learn.

    Args:
        backend: an `EngineBackend`, or what `open_local_backend` returns; started here, closed by
            the caller.
        name: of the model; adapters answer as `name@step`.
        records: folder of the step records.
        path: folder of the backend's files.
        report: takes a progress message after every step.

    Raises:
        EngineError: server or trainer failed, or too many rollouts met a broken tool server.
    """
    send_nothing()  # importing art fetches a list of prices where nothing forbids it
    import art

    class Model(art.TrainableModel[RlConfig]):
        def _get_wandb_run(self) -> None:
            """None: LocalBackend would open a run of its own whenever a key is set."""

    model = Model(
        name=name,
        project=project,
        config=config,
        base_model=str(base_model),
        base_path=str(path),
        report_metrics=[],  # otherwise ART sends them to W&B whenever a key is set
        _internal_config=internal_config,
    )
    report({"stage": "reinforcement learning: starting"})
    await model.register(backend)
    step = await model.get_step()
    steps = read_steps(records, last=step)
    plan = schedule(scenarios, config)
    run = _Run(model, backend, config, toolbox, Scoring(config, tools, judge))
    while step < config.steps:
        if (why := no_signal(steps, config)) is not None or reached(steps, config):
            break
        started = time.monotonic()
        groups, excluded = await run.rollouts(plan[step], step)
        entry = describe_step(step + 1, groups, excluded, time.monotonic() - started)
        write_step(records, entry)
        started = time.monotonic()
        entry.numbers["train"] = await run.train(groups)
        entry.numbers["train_seconds"] = round(time.monotonic() - started, 2)
        write_step(records, entry)
        steps.append(entry)
        step += 1
        report(progress_message(steps, config))
    else:
        why = no_signal(steps, config) if zero_variance_share(steps) == 1.0 else None
    checkpoint = path / project / "models" / name / "checkpoints" / f"{step:04d}"
    return TrainingOutcome(steps, why is None, why or verdict(steps, config), checkpoint)


@dataclass
class _Run:
    model: "art.TrainableModel[RlConfig]"
    backend: "TrainingBackend"
    config: RlConfig
    toolbox: ToolCaller
    scoring: Scoring

    async def rollouts(
        self, scenarios: Sequence[Scenario], step: int
    ) -> tuple[list[list[Trajectory]], Counter[str]]:
        """Scored groups of one step, and what was left out."""
        async with self._client() as client:
            groups = await roll_out_groups(
                client,
                self.model.get_inference_name(step),
                self.toolbox,
                self.scoring.tools,
                scenarios,
                self.config,
                step=step,
                extra_body=self.backend.extra_body,
                is_over_length=self.backend.server.is_over_length,
            )
        scored_groups, excluded = await self.scoring.keep(groups, step + 1)
        return [group for group in scored_groups if group], excluded

    async def train(self, groups: Sequence[Sequence[Trajectory]]) -> dict[str, float]:
        """One step of the backend; its metrics. ART's own log is not written: the step records hold
        more.
        """
        import art

        art_groups = [
            art.TrajectoryGroup([self._trajectory(trajectory) for trajectory in group])
            for group in groups
        ]
        result = await self.backend.train(self.model, art_groups, **self._arguments())
        return dict(result.metrics)

    def _arguments(self) -> dict[str, float | str | bool]:
        config = self.config
        return {
            "learning_rate": config.learning_rate,
            "loss_fn": "ppo",
            "epsilon": config.clip,
            "scale_rewards": config.advantage == "grpo",
            "kl_penalty_coef": config.kl,
        }

    def _trajectory(self, trajectory: Trajectory) -> "art.Trajectory":
        """As ART wants it: sampled turns as choices, everything else as messages."""
        import art

        choices = iter(trajectory.choices)
        entries: list[MessageOrChoice] = []
        for message in trajectory.messages:
            sampled = next(choices, None) if message.role == "assistant" else None
            entries.append(_entry(message) if sampled is None else sampled)
        assert trajectory.reward is not None
        components = {name: float(value) for name, value in trajectory.reward.components.items()}
        return art.Trajectory(
            messages_and_choices=entries,
            tools=request_body([], self.scoring.tools).get("tools"),
            reward=total(trajectory),
            metrics=components | {"over_length": trajectory.stop_reason == OVER_LENGTH},
            metadata={"scenario": trajectory.scenario.item.id, "number": trajectory.number},
        )

    def _client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            base_url=self.model.inference_base_url,
            api_key=self.model.inference_api_key,
            timeout=self.config.request_seconds,
            max_retries=2,
        )


def _entry(message: Message) -> "ChatCompletionMessageParam":
    entry: ChatCompletionMessageParam = request_body([message], ())["messages"][0]
    return entry
