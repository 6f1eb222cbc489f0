"""Settings of the stages `rl_checkpoint` and `rl_merged_model`. ART's `TrainableModel[RlConfig]`
carries them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent_assets.engines.rl_contracts import HyperParams
from agent_assets.strict_model import NOT_IN_FINGERPRINT, NotInFingerprint, StrictModel

# swift_grpo samples without requests that could be lost, and loads the base model's weights or
# fails.
_ART_ONLY = {"request_seconds", "allow_weight_swap", "backend", "server_memory_share"}
# Which settings the backends of engine art do not know.
_UNKNOWN = {"engine": {"in_process", "allow_weight_swap"}, "local": {"server_memory_share"}}


class RewardWeights(StrictModel):
    """Weights of the components in `agent_assets/rl/rewards.py`; the reward is the weighted mean of
    what applies.
    """

    format: float = Field(
        0.5, ge=0, description="Calls and answer are well formed, and the rollout ended on its own."
    )
    schema_valid: float = Field(0.5, ge=0, description="Every call fits the tool's JSON Schema.")
    executed: float = Field(0.5, ge=0, description="Every call was executed without an error.")
    tool: float = Field(1.0, ge=0, description="The right tools, and no others.")
    arguments: float = Field(2.0, ge=0, description="The right arguments; 1 only for all of them.")
    exact: float = Field(0.0, ge=0, description="All of the right calls and no other, or nothing.")
    grounded: float = Field(
        1.0, ge=0, description="States what the tools returned, and no number they did not."
    )
    citation: float = Field(1.0, ge=0, description="Cites the right memories and no others.")
    abstention: float = Field(2.0, ge=0, description="Says so when it was never told.")
    judge: float = Field(1.0, ge=0, description="RULER score; without a judge it does not apply.")

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not any(value for name, value in self.model_dump().items() if name != "judge"):
            raise ValueError(
                "every verifiable reward has the weight 0: a judge alone can be flattered"
            )
        return self


class JudgeConfig(StrictModel):
    """An LLM that compares the rollouts of a group (RULER), behind any OpenAI-compatible
    endpoint.
    """

    base_url: str = Field("https://api.openai.com/v1", description="Ends in /v1.")
    model: str = Field("gpt-4.1-mini", description="Its name there.")
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the key."
    )
    rubric: str | None = Field(None, description="What is good; None takes ours.")
    two_orders: bool = Field(
        True, description="Judge each group twice, in two orders, and average."
    )
    timeout_s: float = Field(60.0, gt=0, description="Longest wait for one judgement.")
    attempts: int = Field(3, ge=1, description="Tries per judgement before the group is left out.")
    max_requests: int = Field(500, ge=1, description="Spend cap: requests of one build.")
    max_tokens: int = Field(
        2_000_000, ge=1, description="Spend cap: prompt and answer tokens of one build."
    )
    concurrency: int = Field(4, ge=1, description="Judgements under way at the same time.")


class RlConfig(StrictModel):
    """Reinforcement learning after supervised fine-tuning. The adapter it starts from is
    `sft_adapter`.
    """

    enabled: Annotated[bool, NOT_IN_FINGERPRINT] = Field(
        False, description="False leaves the RL assets out of the graph."
    )
    engine: Literal["art", "swift_grpo"] = Field(
        "art", description="openpipe-art (engine of record), or ms-swift GRPO."
    )
    # Checkpoints from before there was a choice stay current.
    backend: Annotated[
        Literal["engine", "local"], NotInFingerprint(unless=("backend", "local"))
    ] = Field(
        "engine",
        description="Of engine art. engine: vLLM and our trainer in the engine environment, on "
        "CPU and GPU. local: "
        "ART's LocalBackend, on a GPU only, with what docs/rl.md says has to be installed.",
    )
    steps: int = Field(6, ge=1, description="Optimizer steps.")
    scenarios_per_step: int = Field(4, ge=1, description="Groups of rollouts that make one step.")
    rollouts_per_scenario: int = Field(
        4, ge=2, description="Size of a group: rewards count relative to its mean."
    )
    scenarios_per_tool: int = Field(24, ge=1, description="Scenarios made per tool and language.")
    curriculum: Literal["none", "easy_first"] = Field(
        "none", description="`easy_first` begins with the easy scenarios."
    )
    min_difficulty: int = Field(
        1, ge=1, le=5, description="Easier scenarios are left out: SFT has learned them."
    )
    max_difficulty: int = Field(5, ge=1, le=5, description="Harder scenarios are left out.")
    unpadded_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the tool questions whose dates are written as people type them "
        "(2025-3-5), which "
        "training rows do not: harder, so that something is left to learn. The others keep what "
        "SFT learned.",
    )
    heldout_scenarios: int = Field(
        0,
        ge=0,
        description="Scenarios that are not trained on: eval_report puts them to the SFT and the "
        "RL model.",
    )
    learning_rate: float = Field(5e-5, gt=0, description="Of the optimizer.")
    advantage: Literal["dr_grpo", "grpo"] = Field(
        "dr_grpo",
        description="dr_grpo: reward minus group mean, loss over a constant length; grpo: also "
        "divided by the group's "
        "standard deviation, loss averaged per answer.",
    )
    clip: float = Field(0.2, gt=0, lt=1, description="PPO clip range of the probability ratio.")
    kl: float = Field(0.0, ge=0, description="Weight of the KL divergence from the SFT adapter.")
    max_grad_norm: float = Field(1.0, gt=0, description="A longer gradient is cut to this norm.")
    max_turns: int = Field(3, ge=1, description="Model turns per rollout.")
    max_tokens: int = Field(128, ge=8, description="Tokens per model turn.")
    max_model_len: int = Field(
        2048, ge=256, description="Context length of the inference server, in tokens."
    )
    rollout_seconds: float = Field(
        400.0, gt=0, description="A slower rollout is left out and counted."
    )
    request_seconds: float = Field(
        120.0, gt=0, description="A slower answer of the model is asked for again, twice."
    )
    # swift_grpo draws a batch of rollouts from one stream of random numbers: its size counts.
    concurrency: Annotated[int, NotInFingerprint(unless=("engine", "swift_grpo"))] = Field(
        8, ge=1, description="Rollouts at the same time."
    )
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="Of the frozen weights in the trainer."
    )
    rewards: RewardWeights = RewardWeights()
    judge: JudgeConfig | None = Field(None, description="None: verifiable rewards alone.")
    max_equal_share: float = Field(
        0.95,
        gt=0,
        le=1,
        description="A larger share of groups with equal rewards stops the run: nothing is "
        "learned.",
    )
    equal_patience: int = Field(3, ge=1, description="Steps before that share is looked at.")
    target_reward: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Early stop: training ends when the mean reward of a step is at least this.",
    )
    max_failed_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="A larger share of rollouts ended by a broken tool server or by time is an "
        "error.",
    )
    keep_checkpoints: Annotated[int, NOT_IN_FINGERPRINT] = Field(
        2, ge=1, description="Checkpoints kept while training; older ones go."
    )
    in_process: Annotated[bool, NOT_IN_FINGERPRINT] = Field(
        False,
        description="GPU only. backend local: LocalBackend's model service in this process. "
        "swift_grpo: vLLM in the "
        "trainer's process, on one GPU; False takes a second GPU for its rollout server.",
    )
    allow_weight_swap: bool = Field(
        False, description="Accept other weights than the base model's (backend local)."
    )
    server_memory_share: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        0.45,
        gt=0,
        lt=1,
        description="GPU only, backend engine: the server's share of its whole memory; the "
        "trainer has the rest.",
    )
    seed: int = Field(42, description="Seed of scenarios, sampling and training.")
    max_minutes: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        240.0, gt=0, description="Wall-clock limit of the build."
    )
    max_memory_gb: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        64.0, gt=0, description="Resident memory limit of each of its programs."
    )

    @model_validator(mode="after")
    def _the_engine_can_do_it(self) -> Self:
        """What is written down for an engine that cannot honour it is a mistake; defaults are
        not.
        """
        unknown = sorted(_ART_ONLY & self.model_fields_set) if self.engine == "swift_grpo" else []
        if unknown:
            raise ValueError(
                f"engine swift_grpo has no {' and no '.join(unknown)}: that is for engine art"
            )
        unknown = (
            sorted(_UNKNOWN[self.backend] & self.model_fields_set) if self.engine == "art" else []
        )
        if unknown:
            other = "local" if self.backend == "engine" else "engine"
            raise ValueError(
                f"backend {self.backend} has no {' and no '.join(unknown)}: that is for backend "
                f"{other}"
            )
        return self

    def hyper_params(self) -> HyperParams:
        """What both programs that train a policy are told about learning."""
        return HyperParams(
            precision=self.precision,
            learning_rate=self.learning_rate,
            advantage=self.advantage,
            clip=self.clip,
            kl=self.kl,
            max_grad_norm=self.max_grad_norm,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )
