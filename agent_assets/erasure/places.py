"""All places, in the order in which they are erased.

First what answers, so that nothing is said any more; then what finds other things by the elder's
artifacts; the files of MongoDB last, when everything in it is deleted.
"""

from agent_assets.erasure.exports import Exports
from agent_assets.erasure.history import History
from agent_assets.erasure.host_files import Scratch, ServiceLogs
from agent_assets.erasure.mongo_files import MongoFiles
from agent_assets.erasure.place import Place
from agent_assets.erasure.records import Partition, PlanRows
from agent_assets.erasure.servers import Servers
from agent_assets.erasure.source import ElderTokens, SourceDocuments
from agent_assets.erasure.store_places import (
    AGENT_LOGS,
    ANSWERS,
    ARTIFACTS,
    BUILDS,
    TRACE_FILES,
    Locks,
    Releases,
)

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
    MongoFiles(),
    ServiceLogs(),
)

KEPT_OF_ELDER = (
    "the tombstone in the store: the elder's id and how often an elder of this id was removed, so "
    "that a later one inherits nothing",
)
