"""Reports for tests in which nothing was evaluated."""

from collections.abc import Mapping

from agent_assets.evaluation.report_schema import Bootstrap, Report, SystemScores


def report_json(
    systems: Mapping[str, Mapping[str, float]],
    scores: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
) -> str:
    """The text of a report.json with these mean scores, and these scores of items."""
    report = Report(
        pipeline="p",
        partition=None,
        items={"total": 0},
        systems={system: SystemScores(**means) for system, means in systems.items()},
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
            system: {item: dict(values) for item, values in items.items()}
            for system, items in (scores or {}).items()
        },
    )
    return report.to_json()
