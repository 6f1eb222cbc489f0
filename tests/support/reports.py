"""Reports for tests in which nothing was evaluated."""

from collections.abc import Mapping

from agent_assets.evaluation.report_schema import (
    Bootstrap,
    CrossQuestions,
    Report,
    VariantScores,
)


def report_json(
    variants: Mapping[str, Mapping[str, float]],
    scores: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    cross: CrossQuestions | None = None,
) -> str:
    """The text of a report.json with these mean scores, these scores of items, and what was asked
    of others.
    """
    report = Report(
        pipeline="p",
        partition=None,
        items={"total": 0},
        variants={variant: VariantScores(**means) for variant, means in variants.items()},
        deltas={},
        seconds=0.0,
        scored={},
        confusion={},
        failures={},
        stop_reasons={},
        timings={},
        models={},
        bootstrap=Bootstrap(samples=100, seed=1),
        scores={
            variant: {item: dict(values) for item, values in items.items()}
            for variant, items in (scores or {}).items()
        },
    )
    return report.model_copy(update={} if cross is None else {"cross": cross}).to_json()
