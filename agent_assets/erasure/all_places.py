"""All places, in the order in which they are erased.

First what answers, so that nothing is said any more; then what finds other things by the elder's
artifacts; the files of MongoDB last, when everything in it is deleted.

Of one memory the elder's whole tool servers, unfinished builds, kept answers and logs go, which can
be made again, and of artifacts, traces and exports what holds it.
"""

from agent_assets.erasure.place import Place
from agent_assets.erasure.places.exports import Exports
from agent_assets.erasure.places.history import History
from agent_assets.erasure.places.host_files import Scratch, ServiceLogs
from agent_assets.erasure.places.memory_places import MemoryReleases, MemoryTraces, MemoryVersions
from agent_assets.erasure.places.mongo_files import MongoFiles
from agent_assets.erasure.places.records import Partition, PlanRows
from agent_assets.erasure.places.reviews import ReviewDocuments
from agent_assets.erasure.places.servers import Servers
from agent_assets.erasure.places.source import ElderTokens, SourceDocuments
from agent_assets.erasure.places.store_places import (
    AGENT_LOGS,
    ANSWERS,
    ARTIFACTS,
    BUILDS,
    TRACE_FILES,
    Locks,
    Releases,
)
from agent_assets.erasure.places.wandb_calls import WandbCalls

ELDER_PLACES: tuple[Place, ...] = (
    Partition(),
    Servers(),
    SourceDocuments(),
    Exports(),
    Releases(),
    TRACE_FILES,
    ANSWERS,
    BUILDS,
    AGENT_LOGS,
    ARTIFACTS,
    Locks(),
    PlanRows(),
    History(),
    Scratch(),
    ElderTokens(),
    WandbCalls(),
    ReviewDocuments(),
    MongoFiles(),
    ServiceLogs(),
)

# Traces and exports are found by the memory's words, which are in the artifacts.
MEMORY_PLACES: tuple[Place, ...] = (
    MemoryReleases(),
    Servers(),
    SourceDocuments(),
    Exports(),
    MemoryTraces(),
    ANSWERS,
    BUILDS,
    AGENT_LOGS,
    MemoryVersions(),
    Scratch(),
    WandbCalls(),
    ReviewDocuments(),
    MongoFiles(),
)

KEPT_OF_MEMORY: tuple[str, ...] = (
    "the history of runs: hashes and counts of artifacts that held the memory",
    "the history of releases: names and hashes of versions that held the memory",
)
KEPT_OF_ELDER: tuple[str, ...] = (
    "the tombstone in the store: the elder's id and how often an elder of this id was removed, so "
    "that a later one inherits nothing",
)
