"""What the program that writes GGUF files is asked and what it answers; see `contracts.py`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_assets.engines.contracts import Facts, Program, ProgramMessage

Quantization = Literal["f16", "q8_0", "q4_k_m"]
QUANTIZATIONS: tuple[Quantization, ...] = ("f16", "q8_0", "q4_k_m")


@dataclass(frozen=True, kw_only=True)
class GgufParams:
    """Which model becomes which file.

    Args:
        model_dir: safetensors, tokenizer and chat template.
        out_file: the GGUF file to write.
        work_dir: for the file in float32, which is removed: four bytes a weight.
        name: what the file calls the model.
        system_prompt: of the agent, for one of the prompts that are compared; None leaves it out.
    """

    model_dir: Path
    out_file: Path
    work_dir: Path
    name: str
    quantization: Quantization
    system_prompt: str | None = None


@dataclass(frozen=True)
class FileAgreement:
    """How a GGUF file, read by llama.cpp, agrees with the weights in float32 on fixed prompts.

    Args:
        positions: tokens of the prompts and of the greedy answers to them by the weights.
        token_agreement: share of the positions behind which both find the same token most likely.
        answer_agreement: the same of the positions behind which an answer goes on.
        same_tokens: whether llama.cpp cuts the prompts into the same tokens.
    """

    prompts: int
    positions: int
    token_agreement: float
    answer_agreement: float
    same_tokens: bool


@dataclass(frozen=True, kw_only=True)
class GgufResult(Facts, ProgramMessage):
    """`reference` is the agreement of the file before it was quantized, in float32: what the
    converter, and llama.cpp's arithmetic, change.
    """

    bytes: int
    sha256: str
    agreement: FileAgreement
    reference: FileAgreement
    seconds: float


GGUF_EXPORT = Program("gguf_export", GgufParams, GgufResult)
