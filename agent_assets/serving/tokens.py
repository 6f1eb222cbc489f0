"""Bearer tokens: who may do what. Only hashes are stored; a token is shown once, when it is made.

Collection `tokens` of the database `agent_assets`, on the MongoDB of this installation. A token is
`aa_<id>_<secret>`; the secret has 256 random bits, so its plain sha256 cannot be guessed back. Once
one token was ever made, every request needs one: revoking the last does not open the door again,
nor does emptying the collection.

Every record is sealed (`seals.py`): one that somebody else wrote or changed in the database is not
believed. An older record of ours can still be put back in its place, so write access to the
database can undo a revocation, and no more.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from agent_assets.errors import AgentAssetsError, MongoUnavailable, ServingError
from agent_assets.mongo.database import OWN_DATABASE
from agent_assets.mongo.retry import connect
from agent_assets.privacy import private_folder
from agent_assets.serving.seals import Seal
from agent_assets.settings import Settings

DATABASE = OWN_DATABASE
Scope = Literal["admin", "elder", "read"]
Record = dict[str, Any]
Result = TypeVar("Result")
_CACHE_SECONDS = 5.0


class Denied(AgentAssetsError):
    """No token, or one that is not valid (any more)."""


class Forbidden(AgentAssetsError):
    """A valid token whose scope does not reach this far."""


@dataclass(frozen=True)
class Caller:
    """The caller. `elder` is set for the scope elder; `id` names the token in logs, never the
    secret.
    """

    id: str
    scope: Scope
    elder: str | None = None

    def may_see(self, agent: str) -> bool:
        """Whether an agent exists as far as this caller is concerned."""
        return self.scope != "elder" or agent == self.elder


LOCAL = Caller("local", "admin")  # the user who runs this installation, before there are tokens
SERVICE = Caller("service", "admin")  # a service of this installation


class Tokens:
    """Makes, checks and revokes tokens. Answers are remembered for some seconds: so long a revoked
    one may live.

    Args:
        uri: of the MongoDB they lie in.
        settings: of the installation, whose key seals them; its home remembers that there are
            tokens.
    """

    def __init__(self, uri: str, settings: Settings, database: str = DATABASE) -> None:
        self._uri, self._database = uri, database
        self._seal = Seal.of(settings)
        self._made = settings.secrets / f"tokens-made-{database}"
        self._sealed = settings.secrets / f"tokens-sealed-{database}"
        self._client: MongoClient[Record] | None = None
        self._cache: dict[str, tuple[float, Caller]] = {}
        self._any: tuple[float, bool] = (float("-inf"), False)

    def create(
        self, scope: Scope, *, elder: str | None = None, name: str = "", days: float | None = None
    ) -> str:
        """A new token.

        Raises:
            ServingError: an elder token without an elder, or the other way round.
            MongoUnavailable: it cannot be stored.
        """
        if (scope == "elder") != (elder is not None):
            raise ServingError(
                "A token of scope elder names one elder, others name none.",
                next_step="use --elder.",
            )
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        now = _milliseconds(datetime.now(UTC))
        record = {
            "_id": number,
            "hash": _hash(secret),
            "scope": scope,
            "elder": elder,
            "name": name,
            "created_at": now,
            "expires_at": None if days is None else _milliseconds(now + timedelta(days=days)),
            "revoked_at": None,
        }
        self._run(lambda: self._tokens.insert_one(record | {"seal": self._seal_of(record)}))
        _note(self._made)
        return f"aa_{number}_{secret}"

    def all(self) -> list[Record]:
        """All tokens without their hashes, the oldest first. `believed` tells whether this
        installation sealed it.
        """
        records = self._run(lambda: list(self._tokens.find({}).sort("created_at")))
        hidden = {"hash", "seal"}
        return [
            {name: value for name, value in record.items() if name not in hidden}
            | {"believed": self._is_sealed(record)}
            for record in records
        ]

    def revoke(self, number: str) -> bool:
        """End a token; whether there was one."""
        record = self._run(lambda: self._tokens.find_one({"_id": str(number), "revoked_at": None}))
        if record is None:
            return False
        revoked = record | {"revoked_at": _milliseconds(datetime.now(UTC))}
        # What is sealed by somebody else stays so: revoked, and not believed.
        seal = self._seal_of(revoked) if self._is_sealed(record) else record.get("seal")
        change = {"$set": {"revoked_at": revoked["revoked_at"], "seal": seal}}
        done = self._run(
            lambda: self._tokens.update_one({"_id": record["_id"], "revoked_at": None}, change)
        )
        return bool(done.modified_count)

    def seal_older(self) -> list[str]:
        """Seal the tokens of versions that sealed none, once per installation; returns their ids.

        Until then every user of the machine could write to an embedded database. A token that a
        stranger put there looks like any other, so the caller has to show the ids to an operator.
        """
        if self._sealed.exists():
            return []
        records = self._run(
            lambda: list(self._tokens.find({"seal": {"$exists": False}}).sort("created_at"))
        )
        for record in records:
            change = {"$set": {"seal": self._seal_of(record)}}
            self._run(lambda: self._tokens.update_one({"_id": record["_id"]}, change))  # noqa: B023  called at once
        _note(self._sealed)
        return [str(record["_id"]) for record in records]

    def any(self) -> bool:
        """Whether a token was ever made."""
        at, exists = self._any
        if not exists and time.monotonic() - at > _CACHE_SECONDS:
            exists = self._made.exists()
            if not exists and self._run(lambda: self._tokens.find_one({}, {"_id": 1})) is not None:
                exists = True
                _note(self._made)
            self._any = (time.monotonic(), exists)
        return exists

    @property
    def known_to_exist(self) -> bool:
        """Whether `any` found some already; asks nobody."""
        return self._any[1]

    def check(self, token: str) -> Caller:
        """Who a token stands for.

        Raises:
            Denied: it is unknown, expired or revoked.
        """
        digest = _hash(token)
        return self._remembered(digest, lambda: self._look_up(token))

    def holder(self, number: str) -> Caller:
        """Who the token of an id stands for, for one who has shown it before.

        Raises:
            Denied: it is unknown, expired or revoked.
        """
        return self._remembered(f"id {number}", lambda: self._valid(self._find(number)))

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
    def _tokens(self) -> "Collection[Record]":
        if self._client is None:
            self._client = connect(self._uri)
        return self._client[self._database]["tokens"]

    def _remembered(self, key: str, look_up: Callable[[], Caller]) -> Caller:
        at, caller = self._cache.get(key, (float("-inf"), LOCAL))
        if time.monotonic() - at <= _CACHE_SECONDS:
            return caller
        caller = look_up()
        self._any = (time.monotonic(), True)
        if len(self._cache) > 10_000:
            self._cache.clear()
        self._cache[key] = (time.monotonic(), caller)
        return caller

    def _look_up(self, token: str) -> Caller:
        parts = token.split("_", 2)
        if len(parts) != 3 or parts[0] != "aa" or not parts[1].isalnum() or not token.isascii():
            raise _denied()
        record = self._find(parts[1])
        if record is None or not hmac.compare_digest(str(record["hash"]), _hash(parts[2])):
            raise _denied()
        return self._valid(record)

    def _find(self, number: str) -> Record | None:
        return self._run(lambda: self._tokens.find_one({"_id": number}))

    def _valid(self, record: Record | None) -> Caller:
        if record is None or not self._is_sealed(record) or record["revoked_at"]:
            raise _denied()
        expires = record["expires_at"]
        if expires is not None and expires.replace(tzinfo=UTC) <= datetime.now(UTC):
            raise _denied()
        return Caller(str(record["_id"]), record["scope"], record["elder"])

    def _is_sealed(self, record: Record) -> bool:
        return self._seal.holds("token", _sealed_text(record), record.get("seal"))

    def _seal_of(self, record: Record) -> str:
        return self._seal.sign("token", _sealed_text(record))

    def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except PyMongoError as error:
            raise MongoUnavailable(
                f"The tokens cannot be read or written ({type(error).__name__}).",
                next_step="check MongoDB; the user of MONGODB_URI needs readWrite on the "
                f"database {DATABASE}.",
            ) from None


def _sealed_text(record: Record) -> str:
    """Everything of a record that decides who may do what. MongoDB keeps times in milliseconds,
    without a zone.
    """
    names = ("_id", "hash", "scope", "elder", "expires_at", "revoked_at")
    values = [record.get(name) for name in names]
    return json.dumps(
        [_epoch(value) if isinstance(value, datetime) else value for value in values], default=str
    )


def _epoch(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _note(marker: Path) -> None:
    private_folder(marker.parent)
    marker.touch()


def _denied() -> Denied:
    return Denied(
        "A valid bearer token is needed.", next_step="make one with `agent-assets token create`."
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
