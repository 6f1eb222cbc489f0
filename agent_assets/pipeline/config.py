"""The typed configuration of a pipeline: what `defs.yaml` may say, one model per stage.

Defaults are the cheapest settings that finish on a machine without a GPU.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from agent_assets.base_models.config import BaseModelConfig
from agent_assets.export.config import ExportConfig
from agent_assets.llm.config import LlmConfig
from agent_assets.mongo.layout import MongoLayout
from agent_assets.release.config import GateConfig
from agent_assets.retrieval.config import EmbeddingConfig
from agent_assets.rl.config import RlConfig
from agent_assets.strict_model import IN_FINGERPRINT_IF_SET, NOT_IN_FINGERPRINT, StrictModel
from agent_assets.synthesis.config import QuestionsConfig, RowsConfig


class ToolsConfig(StrictModel):
    """The MCP servers the agent may use."""

    mcp_config: str = Field(
        "mcp_config.json", description="Path relative to the folder of defs.yaml."
    )
    timeout_s: float = Field(
        30.0, gt=0, description="Longest wait for a server to start or to answer one call."
    )
    only: list[str] | None = Field(
        None,
        description="The tools to use, by the name their server gives or as `server/name`; None "
        "takes all.",
    )
    without: list[str] = Field(
        default_factory=list, description="Tools to leave out, named in the same way."
    )
    read_only: list[str] = Field(
        default_factory=list,
        description="Tools that only read, although their server does not say so (`readOnlyHint`), "
        "named in the same way. No other is called unless `allow_writing` names it; "
        "`agent-assets tools` proposes them.",
    )
    allow_writing: list[str] = Field(
        default_factory=list,
        description="Tools that are called although they may change things, whenever data is made "
        "and models are evaluated, trained or served.",
    )
    allow_in_serving: list[str] | Literal["all"] = Field(
        default_factory=list,
        description="Further tools that agents may call when they answer people, and at no other "
        "time; `all` takes every tool of the servers.",
    )


class MemoriesConfig(StrictModel):
    """Which of the two MongoDB layouts holds the elders' answers, and how much of an answer is
    used.
    """

    layout: MongoLayout = Field(
        default_factory=MongoLayout.service,
        description="`service`, `app`, or a mapping that overrides names of one (see "
        "agent_assets/mongo/layout.py).",
    )
    max_answer_chars: int = Field(
        20_000, gt=0, description="Longer answers are skipped and counted."
    )
    min_memories: int = Field(
        1, ge=1, description="An elder with fewer usable answers is an error."
    )
    embedding: EmbeddingConfig = Field(
        EmbeddingConfig(), description="What finds memories by meaning."
    )


class SftConfig(StrictModel):
    """Supervised fine-tuning of a LoRA adapter."""

    engine: Literal["swift"] = Field("swift", description="ms-swift trains.")
    epochs: float = Field(2.0, gt=0, description="Passes over the rows.")
    learning_rate: float = Field(1e-3, gt=0, description="At its highest, after the warm-up.")
    lora_rank: int = Field(
        16, ge=1, description="Rank of the adapter. Serving takes up to `inference.max_rank`."
    )
    lora_alpha: int = Field(32, ge=1, description="The adapter is scaled by this over its rank.")
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="In SFT; RL with engine art trains without."
    )
    lora_target_modules: Annotated[list[str] | None, IN_FINGERPRINT_IF_SET] = Field(
        None,
        min_length=1,
        description="Names of the linear layers that the adapter changes; None: as the base model "
        "says (`lora_target_modules`), or all.",
    )
    batch_size: int = Field(2, ge=1, description="Rows at once on the device.")
    grad_accum: int = Field(1, ge=1, description="Batches per step of the optimizer.")
    max_length: int = Field(
        2048,
        ge=64,
        description="Tokens; left out, the base model's `context_length`. A longer row is "
        "rejected and counted, never truncated.",
    )
    warmup_ratio: float = Field(
        0.05, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="fp32 is byte-deterministic, bf16 is faster."
    )
    seed: int = Field(42, description="Seed of the training.")
    max_minutes: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        240.0, gt=0, description="Wall-clock limit of the training program."
    )
    max_memory_gb: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        64.0, gt=0, description="Resident memory limit of the training program."
    )
    checkpoint_minutes: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        5.0,
        ge=0,
        description="The least time from one checkpoint to the next; a training that was killed "
        "goes on from the last one. 0 writes one at every step.",
    )


class MergeConfig(StrictModel):
    """Merging the adapter into the base weights, and the proof that nothing changed."""

    max_logit_difference: float = Field(
        1e-2,
        gt=0,
        description="Largest |logit(merged) - logit(base + adapter)| on the fixed prompts, in "
        "float32.",
    )
    max_minutes: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        60.0, gt=0, description="Wall-clock limit of the merge."
    )
    max_memory_gb: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        64.0, gt=0, description="Resident memory limit of its program."
    )


class EvalConfig(StrictModel):
    """The agent loop on held-out items, base and trained side by side, as `/chat` answers.

    What is None is that of `defs/serving.yaml`. Another value judges what does not answer, and the
    report says so; the fingerprint has the value that counts.
    """

    max_turns: Annotated[int | None, NOT_IN_FINGERPRINT] = Field(
        None, ge=1, description="Model turns per item; None: as /chat (`answers.max_turns`)."
    )
    max_tokens: Annotated[int | None, NOT_IN_FINGERPRINT] = Field(
        None, ge=8, description="Tokens per model turn; None: as /chat (`answers.max_tokens`)."
    )
    base_max_tokens: int = Field(
        128,
        ge=8,
        description="As max_tokens, for the base model where that is less: it is a peer that does "
        "not answer in /chat, and a small one writes until it is cut.",
    )
    max_model_len: Annotated[int | None, NOT_IN_FINGERPRINT] = Field(
        None,
        ge=256,
        description="Context length of the inference server, in tokens; None: as /chat "
        "(`inference.max_model_len`).",
    )
    item_seconds: float = Field(
        120.0, gt=0, description="Longest time of an item; one that takes longer is not scored."
    )
    concurrency: int = Field(16, ge=1, description="Items of each variant asked at once.")
    seed: int = Field(42, description="Seed of the intervals.")
    bootstrap_samples: int = Field(2000, ge=100, description="Samples of each 95% interval.")
    min_answered: float = Field(
        0.9, gt=0, le=1, description="Fewer answered items make the report incomplete."
    )
    cross_questions: int = Field(
        12,
        ge=0,
        description="Questions of other elders that are put to this one's agent. With 0 nothing is "
        "asked, and no candidate passes by itself where there are others.",
    )
    # What a file says enters the fingerprint, not where it lies.
    exams: Annotated[str | None, NOT_IN_FINGERPRINT] = Field(
        None,
        description="Folder with exams, `<elder>.jsonl` or `<pipeline>.jsonl` (docs/exam.md), "
        "relative to the folder of defs.yaml. Turns of the half `develop` are not asked.",
    )
    max_minutes: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        120.0, gt=0, description="Wall-clock limit of the evaluation."
    )
    max_memory_gb: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        64.0, gt=0, description="Resident memory limit of its program."
    )
    gpu_memory_share: Annotated[float | None, NOT_IN_FINGERPRINT] = Field(
        None,
        gt=0,
        le=1,
        description="Share of a GPU's whole memory; the server does not start where less is "
        "free. None: 0.85, or what serving leaves (`inference.gpu: share`). Not for a CPU.",
    )


class GpuConfig(StrictModel):
    """What a GPU stage asks of Kubernetes; on one machine the pool and the lease decide."""

    count: int = Field(1, ge=1, description="GPUs of each GPU stage.")


class PipelineConfig(StrictModel):
    """One kind of agent: `attributes` of its `defs.yaml`."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$",
        description="The first part of every asset key; that of the folder, as a rule.",
    )
    description: str = Field("", description="What the agent does, for the UI.")
    owners: list[str] = Field(default_factory=list, description="E-mail addresses or `team:name`.")
    partitions: Literal["elders"] | None = Field(
        None, description="One agent per elder, or one agent in all."
    )
    system_prompt: str | None = Field(
        None, description="System prompt of an unpartitioned pipeline's agent."
    )
    asked_with: Literal["any_token", "admin_token"] = Field(
        "any_token",
        description="Who may ask the agent of an unpartitioned pipeline over HTTP. An elder's "
        "agent is asked with that elder's token or an admin's.",
    )
    base_model: BaseModelConfig = BaseModelConfig()
    tools: ToolsConfig = ToolsConfig()
    llm: LlmConfig = LlmConfig()
    questions: QuestionsConfig = QuestionsConfig()
    elder_memories: MemoriesConfig = MemoriesConfig()
    train_jsonl: RowsConfig = RowsConfig()
    sft_adapter: SftConfig = SftConfig()
    merged_model: MergeConfig = MergeConfig()
    rl: RlConfig = RlConfig()
    eval_report: EvalConfig = EvalConfig()
    release: GateConfig = GateConfig()
    exported_model: ExportConfig = ExportConfig()
    gpu: GpuConfig = GpuConfig()

    @field_validator("owners")
    @classmethod
    def _owners_are_addresses(cls, owners: list[str]) -> list[str]:
        for owner in owners:
            if "@" not in owner and not owner.startswith("team:"):
                raise ValueError(f"owner '{owner}' is neither an e-mail address nor `team:name`")
        return owners
