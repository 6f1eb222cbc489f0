"""Telling what was never told from what was: what a threshold reaches, fitted to other people."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from agent_assets.retrieval.told import Closeness

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FOLDS = 5
LOST = (0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.40)
FEATURES: Mapping[str, Sequence[str]] = {
    "top cosine": ("top",),
    "coverage of rare words": ("coverage",),
    "top and mean cosine": ("top", "mean"),
    "cosines and words": ("top", "mean", "margin", "question", "coverage", "lexical"),
}


def fold_of(owners: Sequence[str]) -> npt.NDArray[np.int64]:
    """A fold for every question: all questions of a person are in one."""
    number = {owner: at % FOLDS for at, owner in enumerate(sorted(set(owners)))}
    return np.array([number[owner] for owner in owners])


def lost_threshold(scores: Values, told: Flags, lost: float) -> float:
    """The score below which a share of what was told lies; infinite where nothing was."""
    return float(np.quantile(scores[told], lost)) if told.any() else np.inf


def print_curve(close: Sequence[Closeness], told: Flags, owners: Sequence[str]) -> None:
    """False "found" by false "never told", and the area under the ROC curve, by features."""
    folds = fold_of(owners)
    print(
        f"\nfalse found at false never told of {'':6}AUC   " + "  ".join(f"{x:.2f}" for x in LOST)
    )
    for name, features in FEATURES.items():
        values = np.array([[getattr(one, feature) for feature in features] for one in close])
        scores = np.zeros(len(told))
        reached = {lost: np.zeros(len(told), dtype=bool) for lost in LOST}
        for fold in set(folds.tolist()):
            held = folds == fold
            model = logistic(values[~held], told[~held])
            scores[held] = model.decision_function(values[held])
            others = model.decision_function(values[~held])
            for lost, found in reached.items():
                found[held] = scores[held] >= lost_threshold(others, told[~held], lost)
        shares = "  ".join(f"{found[~told].mean():.2f}" for found in reached.values())
        lost_shares = "  ".join(f"{1 - found[told].mean():.2f}" for found in reached.values())
        print(f"{name:40} {roc_auc_score(told, scores):.3f}  {shares}")
        print(f"{'  really lost':40}        {lost_shares}")


def fitted_told(
    close: Sequence[Closeness], told: Flags, languages: Sequence[str]
) -> dict[str, object]:
    """The least cosine by language that parts told from never told best (Youden's index); that of
    all questions for the languages not among them.
    """
    tops = np.array([one.top for one in close])
    answer = {"other": round(_best_cut(tops, told), 3)}
    for language in sorted(set(languages)):
        of_it = np.array([each == language for each in languages])
        answer[language] = round(_best_cut(tops[of_it], told[of_it]), 3)
    return {"answer": answer}


def logistic(values: Values, told: Flags) -> LogisticRegression:
    """Unregularised in effect: the features are few and their scale is small."""
    return LogisticRegression(class_weight="balanced", C=1000, max_iter=10_000).fit(values, told)


def _best_cut(scores: Values, told: Flags) -> float:
    cuts = np.sort(scores)
    youden = [(scores[told] >= cut).mean() - (scores[~told] >= cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(youden))])
