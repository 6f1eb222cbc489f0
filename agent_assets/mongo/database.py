"""One MongoDB: opens one client and hands the work to `reader` and `signatures`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock

from pymongo import MongoClient
from pymongo.database import Database

from agent_assets.mongo.layout import MongoLayout
from agent_assets.mongo.reader import MAX_ANSWER_CHARS, ElderRecord, iter_elders, read_elder
from agent_assets.mongo.retry import Document, connect
from agent_assets.mongo.signatures import ElderIds, Signature, elder_signatures, list_elder_ids

_OPENING = Lock()  # two threads must not open two clients
OWN_DATABASE = "agent_assets"  # what the platform itself keeps beside the elders' answers


@dataclass
class MemoryDatabase:
    """One MongoDB. The layout belongs to a pipeline, so it comes with each call.

    Args:
        uri: connection string; a user with the role `read` suffices.
        database: with the elders' answers.
    """

    uri: str
    database: str = "afs"
    _client: MongoClient[Document] | None = field(default=None, init=False, repr=False)

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
        self,
        layout: MongoLayout,
        elder_ids: Iterable[str] | None = None,
        *,
        max_answer_chars: int = MAX_ANSWER_CHARS,
    ) -> Iterator[ElderRecord]:
        """See `reader.iter_elders`."""
        return iter_elders(self.db, layout, elder_ids, max_answer_chars=max_answer_chars)

    def elder_signatures(self, layout: MongoLayout) -> dict[str, Signature]:
        """See `signatures.elder_signatures`."""
        return elder_signatures(self.db, layout)

    def list_elder_ids(self, layout: MongoLayout) -> ElderIds:
        """See `signatures.list_elder_ids`."""
        return list_elder_ids(self.db, layout)
