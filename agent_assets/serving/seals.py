"""What only this installation can have written: records and log-ins, sealed with its key
(HMAC-SHA256).

The key is a file of mode 600 in the home, or AGENT_ASSETS_SECRET where several hosts share one
MongoDB. Someone who can write to the database but cannot read the key cannot forge a token.
"""

import hashlib
import hmac
import time
from pathlib import Path
from typing import Self

from agent_assets.errors import ConfigError
from agent_assets.privacy import secret_file
from agent_assets.settings import Settings

_SHORTEST_SECRET = 32
_PREFIX = "aas"


class Seal:
    """Signs with one key. Every use has a purpose, so that what was signed for one is worth nothing
    for another.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The seal of an installation; its key is made by the first caller.

        Raises:
            ConfigError: AGENT_ASSETS_SECRET is too short, or others may read the key.
        """
        if settings.secret is not None:
            if len(settings.secret) < _SHORTEST_SECRET:
                raise ConfigError(
                    f"AGENT_ASSETS_SECRET has fewer than {_SHORTEST_SECRET} characters.",
                    next_step="make one with `openssl rand -hex 32`, the same on every host.",
                )
            return cls(settings.secret.encode())
        return cls(secret_file(key_file(settings)).encode())

    def sign(self, purpose: str, text: str) -> str:
        """Signature of a text, 64 hex digits."""
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()

    def holds(self, purpose: str, text: str, signature: object) -> bool:
        """Whether a signature is ours."""
        return isinstance(signature, str) and hmac.compare_digest(
            self.sign(purpose, text).encode(), signature.encode()
        )

    @property
    def name(self) -> str:
        """Eight hex digits that tell installations apart, and say nothing about the key."""
        return self.sign("name", "")[:8]

    def ticket(self, bearer: str, place: str, seconds: float) -> str:
        """A log-in of a token (by its id) for so many seconds, good in one place."""
        text = f"{bearer}.{place}.{int(time.time() + seconds)}"
        return f"{_PREFIX}.{text}.{self.sign('ticket', text)}"

    def bearer(self, ticket: str, place: str) -> str | None:
        """Whose ticket this is; None when it is not ours, not of this place, or its time is
        over.
        """
        prefix, _, signed = ticket.partition(".")
        text, _, signature = signed.rpartition(".")
        if prefix != _PREFIX or not self.holds("ticket", text, signature):
            return None
        bearer, where, until = text.split(".")
        return bearer if where == place and int(until) > time.time() else None


def is_ticket(text: str) -> bool:
    """Whether a credential is a ticket rather than a token."""
    return text.startswith(f"{_PREFIX}.")


def key_file(settings: Settings) -> Path:
    """Where the key of an installation lies."""
    return settings.secrets / "seal.key"
