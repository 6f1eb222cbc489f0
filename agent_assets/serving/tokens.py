"""Bearer tokens: who may do what. Only hashes are stored; a token is shown once, when it is made.

Collection `tokens` of the database `agent_assets`, on the MongoDB of this installation. A token is `aa_<id>_<secret>`;
the secret has 256 random bits, so its plain sha256 cannot be guessed back. Once one token was ever made, every request
needs one: revoking the last does not open the door again.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from agent_assets.errors import AgentAssetsError, MongoUnavailable, ServingError
from agent_assets.mongo.retry import connect

DATABASE = "agent_assets"
Scope = Literal["admin", "elder", "read"]
_CACHE_SECONDS = 5.0


class Denied(AgentAssetsError):
    """No token, or one that is not valid (any more)."""


class Forbidden(AgentAssetsError):
    """A valid token whose scope does not reach this far."""


@dataclass(frozen=True)
class Caller:
    """Who asks. `elder` is set for the scope elder; `id` names the token in logs, never the secret."""

    id: str
    scope: Scope
    elder: str | None = None

    def may_see(self, agent: str) -> bool:
        """Whether an agent exists as far as this caller is concerned."""
        return self.scope != "elder" or agent == self.elder


LOCAL = Caller("local", "admin")


class Tokens:
    """Makes, checks and revokes tokens. Answers are remembered for some seconds: so long a revoked one may live."""

    def __init__(self, uri: str, database: str = DATABASE) -> None:
        self._uri, self._database = uri, database
        self._client: MongoClient[dict[str, Any]] | None = None
        self._cache: dict[str, tuple[float, Caller]] = {}
        self._any: tuple[float, bool] = (float("-inf"), False)

    def create(self, scope: Scope, *, elder: str | None = None, name: str = "", days: float | None = None) -> str:
        """A new token.

        Raises:
            ServingError: an elder token without an elder, or the other way round.
            MongoUnavailable: it cannot be stored.
        """
        if (scope == "elder") != (elder is not None):
            raise ServingError("A token of scope elder names one elder, others name none.", next_step="use --elder.")
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        document = {
            "_id": number, "hash": _hash(secret), "scope": scope, "elder": elder, "name": name, "created_at": now,
            "expires_at": None if days is None else now + timedelta(days=days), "revoked_at": None,
        }  # fmt: skip
        self._run(lambda: self._tokens.insert_one(document))
        return f"aa_{number}_{secret}"

    def all(self) -> list[dict[str, Any]]:
        """All tokens without their hashes, the oldest first."""
        found: list[dict[str, Any]] = self._run(lambda: list(self._tokens.find({}, {"hash": 0}).sort("created_at")))
        return found

    def revoke(self, number: str) -> bool:
        """End a token; whether there was one."""
        change = {"$set": {"revoked_at": datetime.now(UTC)}}
        done = self._run(lambda: self._tokens.update_one({"_id": str(number), "revoked_at": None}, change))
        return bool(done.modified_count)

    def any(self) -> bool:
        """Whether a token was ever made."""
        at, found = self._any
        if not found and time.monotonic() - at > _CACHE_SECONDS:
            found = self._run(lambda: self._tokens.find_one({}, {"_id": 1})) is not None
            self._any = (time.monotonic(), found)
        return found

    def check(self, token: str | None) -> Caller:
        """Who a token stands for; without any token in the installation, the local user.

        Raises:
            Denied: it is missing, unknown, expired or revoked.
        """
        if token is None:
            if self.any():
                raise _denied()
            return LOCAL
        digest = _hash(token)
        at, caller = self._cache.get(digest, (float("-inf"), LOCAL))
        if time.monotonic() - at <= _CACHE_SECONDS:
            return caller
        caller = self._look_up(token)
        self._any = (time.monotonic(), True)
        if len(self._cache) > 10_000:
            self._cache.clear()
        self._cache[digest] = (time.monotonic(), caller)
        return caller

    def ping(self) -> None:
        """Ask MongoDB whether it is there.

        Raises:
            MongoUnavailable: it is not.
        """
        self._run(lambda: self._tokens.database.client.admin.command("ping"))

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def _tokens(self) -> "Collection[dict[str, Any]]":
        if self._client is None:
            self._client = connect(self._uri)
        return self._client[self._database]["tokens"]

    def _look_up(self, token: str) -> Caller:
        parts = token.split("_", 2)
        if len(parts) != 3 or parts[0] != "aa" or not parts[1].isalnum() or not token.isascii():
            raise _denied()
        found = self._run(lambda: self._tokens.find_one({"_id": parts[1]}))
        if found is None or not hmac.compare_digest(found["hash"], _hash(parts[2])) or found["revoked_at"]:
            raise _denied()
        expires = found["expires_at"]
        if expires is not None and expires.replace(tzinfo=UTC) <= datetime.now(UTC):
            raise _denied()
        return Caller(parts[1], found["scope"], found["elder"])

    def _run(self, work: Any) -> Any:
        try:
            return work()
        except PyMongoError as error:
            raise MongoUnavailable(
                f"The tokens cannot be read or written ({type(error).__name__}).",
                next_step=f"check MongoDB; the user of MONGODB_URI needs readWrite on the database {DATABASE}.",
            ) from None


def _denied() -> Denied:
    return Denied("A valid bearer token is needed.", next_step="make one with `agent-assets token create`.")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
