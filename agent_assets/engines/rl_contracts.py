"""What the programs of reinforcement learning are asked and what they answer, as `contracts` does
for all others.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from agent_assets.engines.contracts import (
    Advantage,
    Facts,
    Precision,
    Program,
    ProgramMessage,
    WeightsLoaded,
)

# -- rl_trainer: one policy-gradient step per request, for as long as rollouts go on elsewhere


@dataclass(frozen=True, kw_only=True)
class TrainerParams:
    """Hyper-parameters of `RlConfig`, and where things lie.

    Args:
        checkpoints: folder of checkpoints by step (`0000` is the adapter that training starts
            from).
        start_step: checkpoint to go on from.
        requests: folder where the caller puts `request-NNNN.json`, each a `LearnRequest`; NNNN is
            the step to make.
        max_tokens: tokens of one turn; the constant length of `dr_grpo`.
    """

    model_dir: Path
    checkpoints: Path
    start_step: int
    requests: Path
    precision: Precision
    learning_rate: float
    advantage: Advantage
    clip: float
    kl: float
    max_grad_norm: float
    max_tokens: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainerReady(Facts, ProgramMessage):
    """The model is loaded; `kernels` of ours are in use."""

    kind: ClassVar[str] = "ready"
    kernels: list[str]
    weights_loaded: WeightsLoaded


@dataclass(frozen=True)
class LearnedSequence:
    """Token ids of one rollout, or of turns of it that continue each other.

    Args:
        ids: all tokens, prompt first.
        spans: half-open ranges of the learned positions.
        logprobs: log-probability of each learned token when it was sampled, in order.
        advantages: one for each span.
        rollout_tokens: sampled tokens of the whole rollout.
    """

    ids: list[int]
    spans: list[list[int]]
    logprobs: list[float]
    advantages: list[float]
    rollout_tokens: int


@dataclass(frozen=True)
class LearnRequest:
    """One step: its sequences, and how many rollouts they come from."""

    sequences: list[LearnedSequence]
    rollouts: int


@dataclass(frozen=True)
class LearnReply(ProgramMessage):
    """Metrics of a step, means over the trained tokens; its checkpoint is complete."""

    kind: ClassVar[str] = "reply"
    loss: float
    kl: float
    clip_fraction: float
    guided_fraction: float
    probability_ratio: float
    trained_tokens: int
    forwarded_tokens: int
    grad_norm: float
    seconds: float


# -- swift_grpo: GRPO by ms-swift, its rollouts with tools and rewards from its caller


@dataclass(frozen=True, kw_only=True)
class GrpoParams:
    """Hyper-parameters of `RlConfig`, and where things lie.

    Args:
        rows_file: a row in the swift format per group, in the order of use, with its place as
            `scenario`.
        out_dir: where the adapter goes in the end.
        checkpoints: folder of ms-swift's own checkpoints, one a step.
        resume: the checkpoint to go on from.
        steps: 0 when none are left.
        vllm: sample with vLLM in the trainer's process.
        rollout_server, group_port: URL of `swift_rollout`, and where it takes weights.
    """

    model_dir: Path
    adapter_dir: Path
    rows_file: Path
    out_dir: Path
    checkpoints: Path
    resume: Path | None
    steps: int
    vllm: bool
    rollout_server: str | None
    group_port: int | None
    precision: Precision
    learning_rate: float
    advantage: Advantage
    clip: float
    kl: float
    max_grad_norm: float
    max_turns: int
    max_tokens: int
    max_model_len: int
    seed: int
    rollouts_per_scenario: int
    scenarios_per_step: int
    keep_checkpoints: int
    concurrency: int


@dataclass(frozen=True, kw_only=True)
class GrpoReady(Facts, ProgramMessage):
    """The model is loaded, and every question fits."""

    kind: ClassVar[str] = "ready"
    weights_loaded: WeightsLoaded


@dataclass(frozen=True)
class GrpoResult(ProgramMessage):
    """The adapter lies in `out_dir`."""

    peak_memory_bytes: int


# -- swift_rollout: ms-swift's rollout server on another GPU


@dataclass(frozen=True, kw_only=True)
class RolloutServerParams:
    """Settings of `RlConfig` for the server that samples."""

    model_dir: Path
    max_turns: int
    max_model_len: int
    seed: int
    concurrency: int


@dataclass(frozen=True)
class RolloutServerReady(ProgramMessage):
    """Where it will answer, and where weights come in; it answers some time after."""

    kind: ClassVar[str] = "ready"
    url: str
    group_port: int


@dataclass(frozen=True)
class ServerEnded(ProgramMessage):
    """A server has no result: waiting for this is waiting for its end."""


# -- what swift_grpo and swift_rollout ask the process that started them: a line of JSON each,
# through its socket

ROLLOUT_SETTINGS = "AGENT_ASSETS_ROLLOUTS"  # environment variable: RolloutSettings as JSON
LONGEST_LINE = 2**26  # bytes


@dataclass(frozen=True)
class RolloutSettings:
    """What the process that started the training says about its rollouts."""

    socket: Path
    max_model_len: int
    max_tokens: int


@dataclass(frozen=True)
class BeginRequest:
    """The clock of a step's rollouts starts, unless it runs."""

    op: Literal["begin"] = "begin"


@dataclass(frozen=True)
class BeginReply:
    """Nothing to say."""


@dataclass(frozen=True)
class TurnRequest:
    """One sampled turn of a rollout; `scenario` is its place in the plan, `cut` whether it hit its
    length limit.
    """

    rollout: str
    scenario: int
    text: str
    tokens: int
    cut: bool
    op: Literal["turn"] = "turn"


@dataclass(frozen=True)
class TurnReply:
    """Whether the rollout ends with the turn; else what the model reads before its next one ({role,
    content}).
    """

    done: bool
    messages: list[dict[str, str]]


@dataclass(frozen=True)
class ScoreRequest:
    """All rollouts of a step, group by group."""

    step: int
    rollouts: list[str]
    op: Literal["score"] = "score"


@dataclass(frozen=True)
class ScoreReply:
    """A reward for each, in their order."""

    rewards: list[float]


@dataclass(frozen=True)
class TrainedRequest:
    """A step is trained and its checkpoint complete."""

    step: int
    metrics: dict[str, float]
    op: Literal["trained"] = "trained"


@dataclass(frozen=True)
class TrainedReply:
    """Whether going on would teach nothing."""

    stop: bool


RolloutRequest = BeginRequest | TurnRequest | ScoreRequest | TrainedRequest
REQUESTS: dict[str, type[RolloutRequest]] = {
    "begin": BeginRequest,
    "turn": TurnRequest,
    "score": ScoreRequest,
    "trained": TrainedRequest,
}

RL_TRAINER = Program("rl_trainer", TrainerParams, TrainerReady)
SWIFT_GRPO = Program("swift_grpo", GrpoParams, GrpoReady)
SWIFT_ROLLOUT = Program("swift_rollout", RolloutServerParams, RolloutServerReady)
