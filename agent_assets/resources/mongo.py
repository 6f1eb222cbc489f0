"""MongoDB as a Dagster resource."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from agent_assets.mongo.database import MemoryDatabase
from agent_assets.resources.fixed import NO_CONFIG


class MongoResource(dg.ResourceDefinition):
    """`context.resources.mongo` is the `MemoryDatabase` of one run: its first use opens a client,
    the end of the run closes it.

    Args:
        uri: connection string; a user with the role `read` suffices.
        database: with the elders' answers.
    """

    def __init__(self, *, uri: str, database: str = "afs") -> None:
        @contextmanager
        def opened(_: dg.InitResourceContext) -> Generator[MemoryDatabase]:
            memories = MemoryDatabase(uri=uri, database=database)
            try:
                yield memories
            finally:
                memories.close()

        super().__init__(
            resource_fn=opened,
            config_schema=NO_CONFIG,
            description="The database with the elders' answers (MONGODB_URI, MONGODB_DATABASE).",
        )
