"""The plan as JSON and as text for a terminal."""

from collections.abc import Iterable, Mapping, Sequence

from agent_assets.conversations.set_aside import SetAside
from agent_assets.planning.asset_partitions import AssetPartition, CauseKind, Plan, PlannedRun

_NAMES = 5  # elders named in a group before "and n more"


def plan_json(
    plan: Plan,
    *,
    seconds: float,
    with_fresh: bool,
    problems: Sequence[str],
    set_aside: Mapping[str, Mapping[str, SetAside]],
) -> dict[str, object]:
    """`{"cells": [...], "runs": [...], "seconds": n}`, how far shared changes may reach, what could
    not be read, and what was set aside, by pipeline and reason.
    """
    asset_partitions = [
        *plan.asset_partitions,
        *(plan.fresh_asset_partitions() if with_fresh else ()),
    ]
    return {
        "cells": [_entry_json(entry) for entry in asset_partitions],
        "runs": [
            {"pipeline": run.pipeline, "partition": run.partition, "assets": list(run.assets)}
            for run in plan.runs
        ],
        "seconds": round(seconds, 3),
        "fresh": plan.fresh,
        "shared": [
            {
                "pipeline": fan_out.pipeline,
                "asset": fan_out.asset,
                "elders": fan_out.elders,
                "cells": fan_out.asset_partitions,
            }
            for fan_out in plan.fan_outs
        ],
        "problems": list(problems),
        "set_aside": {
            pipeline: {
                reason: {"count": entry.count, "names": entry.names}
                for reason, entry in by_reason.items()
                if entry.count
            }
            for pipeline, by_reason in set_aside.items()
        },
    }


def plan_text(plan: Plan) -> list[str]:
    """Lines for a terminal: asset partitions by pipeline, elders with the same state together, then
    the runs.
    """
    if not plan.asset_partitions:
        return [f"Everything is fresh ({plan.fresh} artifacts)."]
    lines = []
    for pipeline in plan.pipelines:
        groups: dict[tuple[tuple[str, ...], ...], list[str | None]] = {}
        for partition, asset_partitions in _by_partition(plan, pipeline.name).items():
            rows = tuple(
                (entry.asset, entry.status.value, *_own_or_upstream(entry))
                for entry in asset_partitions
            )
            groups.setdefault(rows, []).append(partition)
        if groups:
            lines.append(pipeline.name)
        for rows, partitions in groups.items():
            if partitions != [None]:
                lines.append(f"  {_named(partitions)}")
            indent = "  " if partitions == [None] else "    "
            lines += [
                f"{indent}{asset:<16} {status:<8} {'; '.join(causes)}"
                for asset, status, *causes in rows
            ]
    lines += [
        f"{fan_out.pipeline}/{fan_out.asset} is shared (elders: {fan_out.elders}): up to "
        f"{fan_out.asset_partitions} artifacts "
        "follow, "
        "those whose inputs come out different"
        for fan_out in plan.fan_outs
        if fan_out.elders
    ]
    return [*lines, "", *runs_text(plan.runs, fresh=plan.fresh)]


def runs_text(runs: Sequence[PlannedRun], *, fresh: int) -> list[str]:
    """What would be started, runs over the same assets together."""
    groups: dict[tuple[str, tuple[str, ...], bool], list[str | None]] = {}
    for run in runs:
        groups.setdefault((run.pipeline, run.assets, run.waits and not run.own_assets), []).append(
            run.partition
        )
    lines = [f"{len(runs)} runs, {fresh} artifacts fresh{':' if runs else '.'}"]
    for (pipeline, assets, waits), partitions in groups.items():
        who = pipeline if partitions == [None] else f"{pipeline} for {_named(partitions)}"
        after = " (only if the shared assets come out different)" if waits else ""
        lines.append(f"  {who}: {', '.join(assets)}{after}")
    return lines


def _by_partition(plan: Plan, pipeline: str) -> dict[str | None, list[AssetPartition]]:
    entries: dict[str | None, list[AssetPartition]] = {}
    for entry in plan.asset_partitions:
        if entry.pipeline == pipeline:
            entries.setdefault(entry.partition, []).append(entry)
    return entries


def _own_or_upstream(entry: AssetPartition) -> list[str]:
    """What follows from a parent is only worth a line where the asset partition has no cause of its
    own.
    """
    own = [cause.detail for cause in entry.causes if cause.kind is not CauseKind.UPSTREAM]
    return own or [cause.detail for cause in entry.causes]


def _named(partitions: Iterable[str | None]) -> str:
    names = [str(partition) for partition in partitions]
    if len(names) <= _NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMES])} and {len(names) - _NAMES} more"


def _entry_json(entry: AssetPartition) -> dict[str, object]:
    return {
        "pipeline": entry.pipeline,
        "asset": entry.asset,
        "partition": entry.partition,
        "status": entry.status.value,
        "causes": [
            {"kind": c.kind.value, "input": c.input, "detail": c.detail} for c in entry.causes
        ],
    }
