"""Collection `reviews` of the database `agent_assets`: what people said of answers.

A document says what was judged, by its content: a second judgement of the same takes the place of
the first. Three kinds: `chat`, a thumb from a conversation; `turn`, a reviewer's decision about
something to train on or to judge by; `answer`, one about an answer that has a thumb. `source` names
the database of elders it is about.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pymongo import MongoClient
from pymongo.collection import Collection as MongoCollection
from pymongo.errors import PyMongoError

from agent_assets.conversations.messages import canonical_json
from agent_assets.errors import MongoUnavailable
from agent_assets.mongo.retry import connect
from agent_assets.reviews.decisions import COLLECTION, DATABASE

Document = dict[str, Any]
Result = TypeVar("Result")
Verdict = Literal["right", "wrong", "edited"]


@dataclass(frozen=True)
class ChatMark:
    """A thumb for an answer in a conversation.

    Args:
        agent: elder or pipeline that answered.
        model_name: content name of the version that answered.
        reason: why it is wrong, a code of the page; "" for a good one.
        by: id of the token.
    """

    agent: str
    model_name: str
    question: str
    answer: str
    memory_ids: tuple[str, ...]
    verdict: Literal["right", "wrong"]
    reason: str
    comment: str
    by: str


@dataclass(frozen=True)
class TurnReview:
    """A reviewer's decision.

    Args:
        kind: `turn` is something to train on or to judge by, `answer` was said in a conversation.
        content_id: of question and answer, see `decisions.content_id`.
        edited: the right answer, where the verdict is `edited`; else "".
        reviewer: the name they gave; `by` is the id of the token.
    """

    kind: Literal["turn", "answer"]
    agent: str
    content_id: str
    question: str
    answer: str
    verdict: Verdict
    edited: str
    comment: str
    reviewer: str
    by: str


class Reviews:
    """Keeps them. Its methods block.

    Args:
        uri: of the MongoDB of this installation.
        source: the database with the elders' answers.
    """

    def __init__(self, uri: str, source: str, database: str = DATABASE) -> None:
        self._uri, self._source, self._database = uri, source, database
        self._client: MongoClient[Document] | None = None

    def note_mark(self, mark: ChatMark) -> None:
        """Keep a thumb.

        Raises:
            MongoUnavailable: it cannot be written.
        """
        judged = [self._source, mark.agent, mark.model_name, mark.question, mark.answer]
        self._keep("chat", judged, asdict(mark) | {"memory_ids": list(mark.memory_ids)})

    def note_turn(self, review: TurnReview) -> None:
        """Keep a decision.

        Raises:
            MongoUnavailable: it cannot be written.
        """
        self._keep(review.kind, [self._source, review.agent, review.content_id], asdict(review))

    def take_back(self, agent: str, content_id: str) -> None:
        """Forget a decision.

        Raises:
            MongoUnavailable: it cannot be removed.
        """
        judged = [self._source, agent, content_id]
        numbers = [_number(kind, judged) for kind in ("turn", "answer")]
        self._run(lambda: self._reviews.delete_many({"_id": {"$in": numbers}}))

    def decided(self, agent: str) -> list[Document]:
        """Decisions about an agent, the latest first."""
        condition = {
            "kind": {"$in": ["turn", "answer"]},
            "source": self._source,
            "agent": agent,
        }
        return self._run(lambda: list(self._reviews.find(condition).sort("at", -1)))

    def marks(self, agent: str, *, limit: int) -> list[Document]:
        """Thumbs for answers of an agent, the latest first."""
        condition = {"kind": "chat", "source": self._source, "agent": agent}
        return self._run(lambda: list(self._reviews.find(condition).sort("at", -1).limit(limit)))

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _keep(self, kind: str, judged: Iterable[str], content: Document) -> None:
        number = _number(kind, judged)
        document = content | {
            "_id": number,
            "kind": kind,
            "source": self._source,
            "at": datetime.now(UTC),
        }

        def write() -> None:
            self._reviews.create_index([("source", 1), ("kind", 1), ("agent", 1)])
            self._reviews.replace_one({"_id": number}, document, upsert=True)

        self._run(write)

    @property
    def _reviews(self) -> "MongoCollection[Document]":
        if self._client is None:
            self._client = connect(self._uri)
        return self._client[self._database][COLLECTION]

    def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except PyMongoError as error:
            raise MongoUnavailable(
                f"The reviews cannot be read or written ({type(error).__name__}).",
                next_step="check MongoDB; the user of MONGODB_URI needs readWrite on the "
                f"database {DATABASE}.",
            ) from None


def _number(kind: str, judged: Iterable[str]) -> str:
    return f"{kind}-{hashlib.sha256(canonical_json(list(judged)).encode()).hexdigest()[:32]}"
