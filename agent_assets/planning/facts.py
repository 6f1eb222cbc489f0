"""What a plan is made from, as plain values: the stages, what was built of them, and what they read
outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agent_assets.planning.fingerprint import config_version

NO_INPUTS: Mapping[str, str] = {}


class Materialization(NamedTuple):
    """One materialization as the plan needs it."""

    storage_id: int  # id of the event; unique within one database of Dagster
    fingerprint: str  # of the artifact; "" when the materialization is not one of ours
    data_version: str
    code_version: str  # `config_version` of the stage when it ran
    incarnation: int  # of the elder it was made for
    broken: str  # names of failed blocking checks, joined by ","
    inputs: Mapping[str, str] = NO_INPUTS  # data version by name, upstream assets and sources


Latest = Mapping[str | None, Materialization]  # by partition, None for an unpartitioned asset


@dataclass(frozen=True)
class StageFacts:
    """What the plan knows of one stage."""

    name: str
    deps: tuple[str, ...]
    code_version: str
    config: Mapping[str, object]
    partitioned: bool = False
    gpu: bool = False
    reads_source: bool = False

    @property
    def config_version(self) -> str:
        """Code version as Dagster records it."""
        return config_version(self.code_version, self.config)


@dataclass(frozen=True)
class PipelineFacts:
    """One pipeline: its stages, parents first, and its elders ((), for a pipeline without
    partitions).
    """

    name: str
    stages: tuple[StageFacts, ...]
    partitions: tuple[str, ...] = ()


# Source digests by (stage, partition). A stage that reads a source and is not in here has an
# unknown source: then what it read last time counts as current.
SourceVersions = Mapping[tuple[str, str | None], Mapping[str, str]]
