"""The plan as JSON and as text for a terminal."""

from collections.abc import Iterable, Sequence

from agent_assets.planning.cells import CauseKind, Cell, Plan, PlannedRun

_NAMES = 5  # elders named in a group before "and n more"


def plan_json(plan: Plan, *, seconds: float, with_fresh: bool, problems: Sequence[str]) -> dict[str, object]:
    """`{"cells": [...], "runs": [...], "seconds": n}`, how far shared changes may reach, and what could not be read."""
    cells = [*plan.cells, *(plan.fresh_cells() if with_fresh else ())]
    return {
        "cells": [_cell_json(cell) for cell in cells],
        "runs": [
            {"pipeline": run.pipeline, "partition": run.partition, "assets": list(run.assets)} for run in plan.runs
        ],
        "seconds": round(seconds, 3),
        "fresh": plan.fresh,
        "shared": [
            {"pipeline": found.pipeline, "asset": found.asset, "elders": found.elders, "cells": found.cells}
            for found in plan.fan_outs
        ],
        "problems": list(problems),
    }


def plan_text(plan: Plan) -> list[str]:
    """Lines for a terminal: cells by pipeline, elders with the same state together, then the runs."""
    if not plan.cells:
        return [f"Everything is fresh ({plan.fresh} artifacts)."]
    lines = []
    for pipeline in plan.pipelines:
        groups: dict[tuple[tuple[str, ...], ...], list[str | None]] = {}
        for partition, cells in _by_partition(plan, pipeline.name).items():
            rows = tuple((cell.asset, cell.status.value, *_own_or_upstream(cell)) for cell in cells)
            groups.setdefault(rows, []).append(partition)
        if groups:
            lines.append(pipeline.name)
        for rows, partitions in groups.items():
            if partitions != [None]:
                lines.append(f"  {_named(partitions)}")
            indent = "  " if partitions == [None] else "    "
            lines += [f"{indent}{asset:<16} {status:<8} {'; '.join(causes)}" for asset, status, *causes in rows]
    lines += [
        f"{found.pipeline}/{found.asset} is shared (elders: {found.elders}): up to {found.cells} artifacts follow, "
        "those whose inputs come out different"
        for found in plan.fan_outs
        if found.elders
    ]
    return [*lines, "", *runs_text(plan.runs, fresh=plan.fresh)]


def runs_text(runs: Sequence[PlannedRun], *, fresh: int) -> list[str]:
    """What would be started, runs over the same assets together."""
    groups: dict[tuple[str, tuple[str, ...], bool], list[str | None]] = {}
    for run in runs:
        groups.setdefault((run.pipeline, run.assets, run.waits and not run.own_assets), []).append(run.partition)
    lines = [f"{len(runs)} runs, {fresh} artifacts fresh{':' if runs else '.'}"]
    for (pipeline, assets, waits), partitions in groups.items():
        who = pipeline if partitions == [None] else f"{pipeline} for {_named(partitions)}"
        after = " (only if the shared assets come out different)" if waits else ""
        lines.append(f"  {who}: {', '.join(assets)}{after}")
    return lines


def _by_partition(plan: Plan, pipeline: str) -> dict[str | None, list[Cell]]:
    found: dict[str | None, list[Cell]] = {}
    for cell in plan.cells:
        if cell.pipeline == pipeline:
            found.setdefault(cell.partition, []).append(cell)
    return found


def _own_or_upstream(cell: Cell) -> list[str]:
    """What follows from a parent is only worth a line where the cell has no cause of its own."""
    own = [cause.detail for cause in cell.causes if cause.kind is not CauseKind.UPSTREAM]
    return own or [cause.detail for cause in cell.causes]


def _named(partitions: Iterable[str | None]) -> str:
    names = [str(partition) for partition in partitions]
    if len(names) <= _NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMES])} and {len(names) - _NAMES} more"


def _cell_json(cell: Cell) -> dict[str, object]:
    return {
        "pipeline": cell.pipeline,
        "asset": cell.asset,
        "partition": cell.partition,
        "status": cell.status.value,
        "causes": [{"kind": c.kind.value, "input": c.input, "detail": c.detail} for c in cell.causes],
    }
