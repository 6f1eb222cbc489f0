"""MongoDB as a Dagster resource."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from agent_assets.mongo.database import MemoryDatabase


class MongoResource(dg.ConfigurableResource[MemoryDatabase]):
    """The database with the elders' answers."""

    uri: str = Field(description="Connection string; a user with the role `read` suffices.")
    database: str = Field("afs", description="Database with the elders' answers.")

    def create_resource(self, context: dg.InitResourceContext) -> MemoryDatabase:
        """What `context.resources.mongo` is. Its first use opens a client."""
        return MemoryDatabase(uri=self.uri, database=self.database)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[MemoryDatabase]:
        """The database of one run; its client is closed at the run's end."""
        database = self.create_resource(context)
        try:
            yield database
        finally:
            database.close()
