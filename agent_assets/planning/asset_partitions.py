"""What a plan consists of: asset partitions with status and causes, runs, and how far a shared
change may reach.
"""

from dataclasses import dataclass
from enum import StrEnum

from agent_assets.planning.facts import Materialization, PipelineFacts


class Status(StrEnum):
    """State of one (asset, partition)."""

    FRESH = "fresh"  # what would be built now is what is there
    STALE = "stale"  # something it depends on changed, or will
    MISSING = "missing"  # there is no artifact that could be used


class CauseKind(StrEnum):
    """Why an asset partition is not fresh."""

    DATA = "data"  # an input or a source has another version
    CODE = "code"  # the code of the stage changed
    CONFIG = "config"  # a setting the stage depends on changed
    MISSING = "missing"  # never built, lost, or its last build failed its checks
    UPSTREAM = "upstream"  # a parent will be rebuilt; it may come out identical


@dataclass(frozen=True)
class Cause:
    """One reason. `old` and `new` are versions of `input`, for those who can say more about
    them.
    """

    kind: CauseKind
    input: str | None
    detail: str
    old: str = ""
    new: str = ""


@dataclass(frozen=True)
class AssetPartition:
    """One (asset, partition). `own` is False when nothing but a shared asset makes it stale."""

    pipeline: str
    asset: str
    partition: str | None
    status: Status
    causes: tuple[Cause, ...] = ()
    own: bool = True
    recorded: Materialization | None = None


@dataclass(frozen=True)
class PlannedRun:
    """The run that would make one elder (or the shared assets of a pipeline, partition None) fresh.

    Args:
        assets: what it materializes, parents first.
        own_assets: the part that does not only wait for a shared asset; () when everything does.
        target_digest: digest of the state it should reach. Two plans that want the same have the
            same digest.
        base_event_id: id of the latest materialization of this elder: where the run starts from.
        waits: a shared asset of the pipeline is not fresh; its run comes first and may make this
            one unnecessary.
        new: nothing was ever built for this elder.
    """

    pipeline: str
    partition: str | None
    assets: tuple[str, ...]
    own_assets: tuple[str, ...]
    target_digest: str
    base_event_id: int
    gpu: bool
    waits: bool
    new: bool


@dataclass(frozen=True)
class FanOut:
    """A shared asset that is not fresh, and how many elders' asset partitions may follow."""

    pipeline: str
    asset: str
    elders: int
    asset_partitions: int


@dataclass(frozen=True)
class Plan:
    """What is not fresh (sorted by pipeline, partition, parents first), the runs, and the count of
    the rest.
    """

    asset_partitions: tuple[AssetPartition, ...]
    runs: tuple[PlannedRun, ...]
    fan_outs: tuple[FanOut, ...]
    fresh: int
    pipelines: tuple[PipelineFacts, ...] = ()

    def fresh_asset_partitions(self) -> list[AssetPartition]:
        """The asset partitions that are fresh, which `asset_partitions` leaves out."""
        known = {(entry.pipeline, entry.asset, entry.partition) for entry in self.asset_partitions}
        return [
            AssetPartition(pipeline.name, stage.name, partition, Status.FRESH)
            for pipeline in self.pipelines
            for stage in pipeline.stages
            for partition in (pipeline.partitions if stage.partitioned else (None,))
            if (pipeline.name, stage.name, partition) not in known
        ]
