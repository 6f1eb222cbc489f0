"""Partitions follow the database: new elders get one, elders who stay away lose theirs and leave a
tombstone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from agent_assets.automation.config import RemovalConfig
from agent_assets.automation.planner import Installation
from agent_assets.pipeline.assets import ELDERS
from agent_assets.planning.elders import Elders, forget_elder
from agent_assets.planning.history import ActiveRun, known_partitions
from agent_assets.store.tombstones import UNREADABLE, bury, incarnations, revive

PARTITIONS = str(ELDERS.name)
_DAY = 86_400.0


@dataclass(frozen=True)
class PartitionChanges:
    """Partitions that were added and removed, and who is gone but still has one, by reason."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    kept: Mapping[str, int]


def follow_elders(
    installation: Installation,
    instance: dg.DagsterInstance,
    elders: Mapping[str, Elders],
    *,
    policy: RemovalConfig,
    active: Iterable[ActiveRun],
    now: float,
) -> PartitionChanges:
    """Add partitions of new elders, remove those of elders gone for long enough.

    Args:
        elders: by pipeline. An elder counts as gone when no pipeline has them any more.
        active: runs going on: an elder in one of them keeps the partition until it is over.
        now: seconds since 1970.
    """
    partitioned = [graph for graph in installation.graphs if graph.spec.partitioned]
    before = set(known_partitions(instance, PARTITIONS))
    present = {elder for members in elders.values() for elder in members.settled}
    added = add_elders(
        installation, instance, {e for members in elders.values() for e in members.digests} - before
    )
    absent = {
        e: since
        for members in elders.values()
        for e, since in members.gone.items()
        if e not in present
    }
    gone = {elder: since for elder, since in absent.items() if elder in before}
    due = sorted(elder for elder, since in gone.items() if now - since >= policy.after_days * _DAY)
    if policy.policy == "keep":
        return PartitionChanges(added, (), {"policy keep": len(gone)} if gone else {})
    if any(graph.name not in elders for graph in partitioned):
        return PartitionChanges(
            added, (), {"not all elders could be read": len(gone)} if gone else {}
        )
    if len(due) > max(1.0, policy.max_share * len(before)):
        return PartitionChanges(
            added, (), {f"more than {policy.max_share:.0%} are gone at once": len(due)}
        )
    busy = {run.partition for run in active}
    removed = tuple(elder for elder in due if elder not in busy)
    for elder in removed:
        # The tombstone first: between the two steps the elder has an old partition and no fresh
        # artifact.
        bury(installation.store, elder)
        instance.delete_dynamic_partition(PARTITIONS, elder)
    scopes = {installation.elder_source(graph).scope for graph in partitioned}
    for elder in set(absent) - (before - set(removed)):
        for scope in scopes:
            forget_elder(installation.index, scope, elder)
    waiting = {"absent for too short": len(gone) - len(due), "in a run": len(due) - len(removed)}
    return PartitionChanges(
        added, removed, {reason: count for reason, count in waiting.items() if count}
    )


def add_elders(
    installation: Installation, instance: dg.DagsterInstance, elders: Collection[str]
) -> tuple[str, ...]:
    """Give new elders a partition; of one who was removed before, nothing is inherited."""
    names = sorted(elders)
    removed = incarnations(installation.store) if names else {}
    for elder in sorted(removed.keys() & set(names)):
        if removed[elder] != UNREADABLE:  # their runs say what to do
            revive(installation.store, elder)
    if names:
        instance.add_dynamic_partitions(PARTITIONS, names)
    return tuple(names)
