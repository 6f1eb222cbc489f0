"""What reviewers decided about training content, as the graph reads it: by content, so that it
holds for every later row set in which the same is said.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from agent_assets.conversations.markers import plain_text, without_markers
from agent_assets.conversations.messages import Message, canonical_json
from agent_assets.mongo.database import OWN_DATABASE
from agent_assets.mongo.retry import Retry, with_retries

DATABASE, COLLECTION = OWN_DATABASE, "reviews"
Document = dict[str, Any]
# By content id: the text that takes the place of the answer, None where the turn is rejected.
Decisions = Mapping[str, str | None]
_UNAUTHORIZED = 13


def content_id(question: str, answer: str) -> str:
    """Id of one turn: 24 hex digits of what is asked and answered, as a model reads it."""
    turn = [plain_text(question), without_markers(Message("assistant", answer)).content]
    return hashlib.sha256(canonical_json(turn).encode()).hexdigest()[:24]


def decisions_of(elders: "Database[Document]", agent: str) -> dict[str, str | None]:
    """What was decided about the turns of one agent.

    Args:
        elders: the database with the elders' answers; reviews lie beside it on the same server.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    return _read(elders, {"agent": agent}).get(agent, {})


def decision_versions(elders: "Database[Document]") -> dict[str, str]:
    """Version of the decisions by agent, of those that have some.

    Raises:
        MongoUnavailable: MongoDB did not answer, after retries.
    """
    return {agent: decisions_version(found) for agent, found in _read(elders, {}).items()}


def reviews_about(elders: str, agent: str, memory: str | None = None) -> Document:
    """What finds everything that was said of an agent's answers, or of those that rest on one
    memory.

    Args:
        elders: name of the database with the elders' answers.
    """
    condition: Document = {"source": elders, "agent": agent}
    if memory is None:
        return condition
    cited = {"$regex": f"(?<![0-9a-z-]){re.escape(memory)}(?![0-9a-z])"}
    places = [{"memory_ids": memory}, {"answer": cited}, {"edited": cited}, {"comment": cited}]
    return condition | {"$or": places}


def decisions_version(decisions: Decisions) -> str:
    """How many there are, a dash, and a hash of them."""
    text = canonical_json(sorted(decisions.items()))
    return f"{len(decisions)}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def decisions_changed(old: str, new: str) -> str:
    """In words, what differs between two versions ("" for none at all): `2 reviews`."""
    more = decisions_count(new) - decisions_count(old)
    if more == 0:
        return "reviews changed"
    what = "review" if abs(more) == 1 else "reviews"
    return f"{more} {what}" if more > 0 else f"{-more} {what} taken back"


def _read(elders: "Database[Document]", condition: Document) -> dict[str, dict[str, str | None]]:
    collection = elders.client[DATABASE][COLLECTION]
    chosen = {"kind": "turn", "source": elders.name, "verdict": {"$in": ["wrong", "edited"]}}
    fields = {"agent": 1, "content_id": 1, "verdict": 1, "edited": 1}

    def read() -> dict[str, dict[str, str | None]]:
        found: dict[str, dict[str, str | None]] = defaultdict(dict)
        try:
            for document in collection.find(chosen | condition, fields):
                edited = document["edited"] if document["verdict"] == "edited" else None
                found[document["agent"]][document["content_id"]] = edited
        except OperationFailure as error:
            # Who may read the elders alone has no reviews: they are written with the same user.
            if error.code != _UNAUTHORIZED:
                raise
        return dict(found)

    return with_retries(elders.client, read, Retry())


def decisions_count(version: str) -> int:
    """How many decisions a version stands for; 0 for ""."""
    return int(version.partition("-")[0] or 0)
