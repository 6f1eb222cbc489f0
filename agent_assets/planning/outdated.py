"""What the plan finds outdated, and what lies below it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent_assets.planning.asset_partitions import (
    Cause,
)
from agent_assets.planning.facts import (
    Materialization,
    StageFacts,
)


@dataclass
class Outdated:
    """What has another fingerprint now than recorded; its data causes are found once its inputs are
    read.
    """

    stage: StageFacts
    recorded: Materialization
    versions: Mapping[str, str]
    causes: list[Cause]


def descendants(stages: Iterable[StageFacts], name: str) -> list[StageFacts]:
    """Stages made from `name`, directly or not."""
    below: list[StageFacts] = []
    names = {name}
    for stage in stages:
        if not names.isdisjoint(stage.deps):
            names.add(stage.name)
            below.append(stage)
    return below
