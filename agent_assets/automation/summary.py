"""The plan in the UI: an observation of each asset with how many of its partitions are fresh or
not, and why.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import dagster as dg

from agent_assets.conversations.messages import canonical_json
from agent_assets.conversations.set_aside import set_aside_lines
from agent_assets.planning.asset_partitions import Plan, Status
from agent_assets.planning.elders import Elders
from agent_assets.planning.index import PlanIndex

_MOST = 5


@dataclass
class _Counts:
    total: int = 0
    stale: int = 0
    missing: int = 0
    causes: Counter[str] = field(default_factory=Counter)


def report_summary(instance: dg.DagsterInstance, index: PlanIndex, plan: Plan) -> int:
    """Record the plan with each asset whose summary changed since the last time; returns how many
    did.
    """
    changed = 0
    with index.open() as connection:
        known = dict(
            connection.execute(
                "SELECT name, value FROM meta WHERE name LIKE 'summary/%'"
            ).fetchall()
        )
    for (pipeline, asset), counts in summarize(plan).items():
        name = f"summary/{pipeline}/{asset}"
        content: dict[str, int | list[str]] = {
            "planned_fresh": counts.total - counts.stale - counts.missing,
            "planned_stale": counts.stale,
            "planned_missing": counts.missing,
            "planned_causes": [
                f"{words} ({count})" for words, count in counts.causes.most_common(_MOST)
            ],
        }
        digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]
        if known.get(name) == digest:
            continue
        observation = dg.AssetObservation(asset_key=[pipeline, asset], metadata=content)
        instance.report_runless_asset_event(observation)
        with index.open() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, digest))
        changed += 1
    return changed


def summarize(plan: Plan) -> dict[tuple[str, str], _Counts]:
    """Counts by (pipeline, asset)."""
    counts_by_stage = {
        (pipeline.name, stage.name): _Counts(
            total=len(pipeline.partitions) if stage.partitioned else 1
        )
        for pipeline in plan.pipelines
        for stage in pipeline.stages
    }
    for entry in plan.asset_partitions:
        counts = counts_by_stage[entry.pipeline, entry.asset]
        counts.missing += entry.status is Status.MISSING
        counts.stale += entry.status is Status.STALE
        counts.causes.update(cause.detail for cause in entry.causes[:1])
    return counts_by_stage


def unusual(elders: Elders) -> list[str]:
    """What a person should know about the elders of a source, a line each."""
    counts = {
        "ids or profiles twice": elders.duplicate_profiles,
        "elders without a usable answer": len(elders.unusable),
        "elders still to be read": len(elders.unread),
    }
    lines = [f"{count} {words}" for words, count in counts.items() if count]
    lines += [f"set aside: {line}" for line in set_aside_lines(elders.set_aside)]
    return [*lines, elders.advice] if elders.advice else lines
