"""Connecting to MongoDB and trying again: every failure ends as an error a user can act on, without
the password.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from agent_assets.errors import AgentAssetsError, ConfigError, MongoUnavailable

Document = dict[str, Any]
Result = TypeVar("Result")

TRANSIENT = (
    ConnectionFailure,
    CursorNotFound,
)  # ServerSelectionTimeoutError and AutoReconnect are the first
# a hanging server is an error in the end; sorting a million answers takes seconds
_LONGEST_ANSWER_MS = 120_000
_AUTHENTICATION_FAILED, _UNAUTHORIZED = 18, 13


@dataclass(frozen=True)
class Retry:
    """How often a failed read is tried again: the wait doubles from `first_wait_s` up to
    `longest_wait_s`.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0

    def retrying(self) -> Retrying:
        """What calls a function so."""
        return Retrying(
            retry=retry_if_exception_type(TRANSIENT),
            wait=wait_exponential(multiplier=self.first_wait_s, max=self.longest_wait_s),
            stop=stop_after_attempt(self.attempts),
            reraise=True,
        )


def connect(uri: str, *, server_selection_timeout_ms: int = 5000) -> MongoClient[Document]:
    """A client; it connects with its first operation. Time limits that the URI names are kept.

    Raises:
        ConfigError: the URI is empty or malformed, or names a host that has no SRV record.
    """
    if not uri:
        raise ConfigError(
            "MONGODB_URI is not set, and no embedded MongoDB was started for this process.",
            next_step="set it to your server, or start everything with `agent-assets up`.",
        )
    limits = {
        "serverSelectionTimeoutMS": server_selection_timeout_ms,
        "socketTimeoutMS": _LONGEST_ANSWER_MS,
    }
    unset: dict[str, Any] = {
        name: value for name, value in limits.items() if name.lower() not in uri.lower()
    }
    try:
        return MongoClient(uri, appname="agent-assets", **unset)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        # The driver's own message may quote parts of the URI, the password among them.
        raise ConfigError(
            f"The MongoDB URI '{redacted(uri)}' cannot be used ({type(error).__name__}).",
            next_step="set MONGODB_URI to mongodb://[user:password@]host:port/, with '@', ':' "
            "and '/' in user and "
            "password percent-encoded.",
        ) from None


def ping(uri: str, *, server_selection_timeout_ms: int = 3000) -> None:
    """Ask a server whether it is there, once.

    Raises:
        ConfigError: the URI is malformed.
        MongoUnavailable: it does not answer, or refuses the user.
    """
    with connect(uri, server_selection_timeout_ms=server_selection_timeout_ms) as client:
        with_retries(client, lambda: client.admin.command("ping"), Retry(attempts=1))


def redacted(uri: str) -> str:
    """The URI without user, password and options."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return "***"
    without_user = rest.rpartition("@")[2]
    return f"{scheme}://{'***@' if '@' in rest else ''}{without_user.partition('?')[0]}"


def with_retries(
    client: MongoClient[Document],
    work: Callable[[], Result],
    retry: Retry,
    *,
    writing: bool = False,
) -> Result:
    """Run `work`, again with growing waits while MongoDB does not answer. It must not matter if it
    is done twice.

    Raises:
        MongoUnavailable: it did not answer in `retry.attempts` tries, or refused the user.
    """
    try:
        return retry.retrying()(work)
    except TRANSIENT as error:
        raise _unavailable(client, error, retry.attempts) from error
    except OperationFailure as error:
        raise _refused(client, error, writing=writing) from error


def _unavailable(
    client: MongoClient[Document], error: PyMongoError, tries: int
) -> MongoUnavailable:
    """The error to raise when MongoDB did not answer `tries` times in a row."""
    return MongoUnavailable(
        f"MongoDB at {_addresses(client)} did not answer in {tries} tries "
        f"({type(error).__name__}).",
        next_step="check that it runs and that MONGODB_URI names it; without MONGODB_URI "
        "`agent-assets up` starts one.",
    )


def _refused(
    client: MongoClient[Document], error: OperationFailure, *, writing: bool = False
) -> AgentAssetsError:
    """The error to raise when MongoDB answered, but not with data."""
    next_step = {
        _AUTHENTICATION_FAILED: "correct user, password and authSource in MONGODB_URI.",
        _UNAUTHORIZED: f"grant the user the role `{'readWrite' if writing else 'read'}` on the "
        "database.",
    }.get(
        error.code or 0,
        "look up this code in MongoDB's list of error codes, and read the server's log.",
    )
    what = "write" if writing else "read"
    return MongoUnavailable(
        f"MongoDB at {_addresses(client)} refused a {what} (code {error.code}).",
        next_step=next_step,
    )


def _addresses(client: MongoClient[Document]) -> str:
    servers = client.topology_description.server_descriptions()
    return ", ".join(sorted(f"{host}:{port}" for host, port in servers)) or "an unknown address"
