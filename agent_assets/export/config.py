"""Settings of the stage `exported_model`: which GGUF file, and when it counts as verified."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from agent_assets.engines.export_contracts import FileAgreement, Quantization
from agent_assets.strict_model import NOT_IN_FINGERPRINT, StrictModel

# Least share of positions with the same most likely token as the weights have in float32. Of the
# shipped model's own weights llama.cpp finds all in f16, nearly all in q8_0 and nine tenths in
# q4_k_m; a small model loses more by four bits than a large one.
THRESHOLDS: Mapping[Quantization, float] = {"f16": 0.99, "q8_0": 0.95, "q4_k_m": 0.8}
# The converter and llama.cpp's arithmetic alone, without quantizing: anything less is a mistake.
REFERENCE_THRESHOLD = 0.99


class ExportConfig(StrictModel):
    """One GGUF file of the model that `release` judged."""

    enabled: bool = Field(
        False, description="Whether the asset exists. It needs `agent-assets setup export`."
    )
    quantization: Quantization = Field(
        "q8_0",
        description="`f16`: half of float32. `q8_0`: a quarter, nearly as exact. `q4_k_m`: an "
        "eighth; a model of less than a billion weights suffers.",
    )
    min_token_agreement: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Least share of tokens on fixed prompts for which llama.cpp, reading the "
        "file, finds the same one most likely as the weights in float32; below it the file is not "
        "verified. None: 0.99 for f16, 0.95 for q8_0, 0.8 for q4_k_m.",
    )
    max_minutes: Annotated[float, NOT_IN_FINGERPRINT] = Field(60.0, gt=0)
    max_memory_gb: Annotated[float, NOT_IN_FINGERPRINT] = Field(64.0, gt=0)

    @property
    def threshold(self) -> float:
        """Least token agreement of a verified file."""
        if self.min_token_agreement is not None:
            return self.min_token_agreement
        return THRESHOLDS[self.quantization]


def why_not_verified(
    agreement: FileAgreement, reference: FileAgreement, threshold: float
) -> list[str]:
    """What speaks against a file, in words; [] where it is verified."""
    problems = []
    if not agreement.same_tokens:
        problems.append("llama.cpp cuts the fixed prompts into other tokens than the tokenizer")
    if reference.token_agreement < REFERENCE_THRESHOLD:
        problems.append(
            "the converted weights, before they were quantized, find the same token at "
            f"{reference.token_agreement:.1%} of {reference.positions} positions; "
            f"{REFERENCE_THRESHOLD:.0%} are asked for"
        )
    if agreement.token_agreement < threshold:
        problems.append(
            f"it finds the same token at {agreement.token_agreement:.1%} of "
            f"{agreement.positions} positions; {threshold:.1%} are asked for"
        )
    return problems
