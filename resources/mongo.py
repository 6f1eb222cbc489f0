"""MongoDB as a Dagster resource: opens one client and hands the work to `agent_assets.mongo.reader`."""

from collections.abc import Iterable, Iterator
from threading import Lock

import dagster as dg
from pydantic import Field, PrivateAttr
from pymongo import MongoClient
from pymongo.database import Database

from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import MAX_ANSWER_CHARS, ElderRecord, iter_elders, read_elder
from agent_assets.mongo.retry import Document, connect
from agent_assets.mongo.signatures import ElderIds, Signature, elder_signatures, list_elder_ids

_OPENING = Lock()  # two threads must not open two clients


class MongoResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its parameter is what it hands out: itself
    """One MongoDB. The layout belongs to a pipeline, so it comes with each call."""

    uri: str = Field(description="Connection string; a user with the role `read` suffices.")
    database: str = Field("afs", description="Database with the elders' answers.")

    _client: MongoClient[Document] | None = PrivateAttr(default=None)

    @property
    def db(self) -> Database[Document]:
        """The database; the first use opens the client.

        Raises:
            ConfigError: the URI is malformed.
        """
        with _OPENING:
            if self._client is None:
                self._client = connect(self.uri)
            return self._client[self.database]

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the client at the end of a run."""
        self.close()

    def close(self) -> None:
        """Close the client; the next use opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def read_elder(
        self, elder_id: str, layout: MongoLayout, *, max_answer_chars: int = MAX_ANSWER_CHARS
    ) -> ElderRecord:
        """See `reader.read_elder`."""
        return read_elder(self.db, layout, elder_id, max_answer_chars=max_answer_chars)

    def iter_elders(
        self, layout: MongoLayout, elder_ids: Iterable[str] | None = None, *, max_answer_chars: int = MAX_ANSWER_CHARS
    ) -> Iterator[ElderRecord]:
        """See `reader.iter_elders`."""
        return iter_elders(self.db, layout, elder_ids, max_answer_chars=max_answer_chars)

    def elder_signatures(self, layout: MongoLayout) -> dict[str, Signature]:
        """See `mongo_signatures.elder_signatures`."""
        return elder_signatures(self.db, layout)

    def list_elder_ids(self, layout: MongoLayout) -> ElderIds:
        """See `mongo_signatures.list_elder_ids`."""
        return list_elder_ids(self.db, layout)
