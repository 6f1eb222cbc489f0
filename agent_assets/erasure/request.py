"""What is to be forgotten: written down before anything goes, so that an erasure that was
interrupted can be finished.
"""

import hashlib
import hmac
import secrets
import uuid
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from agent_assets.store.partition_keys import elder_id_of_key

# scrypt: an id is often a name, and whoever tries names has to pay for each.
_SCRYPT_COST, _SCRYPT_BLOCK = 2**14, 8


def now_text() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class ErasureRequest(BaseModel):
    """One erasure. It names the elder, and lies in the home only until the erasure is finished.

    Args:
        elder: partition key.
        memory: id of the one memory that goes; None for everything.
        who: who asked: a user of the machine, or the id of a token.
        why: in their words; they are told to name nobody.
        source: MongoDB's documents go, too.
        salt: 32 hex digits, for the hashes of the receipt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    elder: str
    memory: str | None = None
    who: str
    why: str = ""
    source: bool = False
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    salt: str = Field(default_factory=lambda: secrets.token_hex(16))
    started_at: str = Field(default_factory=now_text)

    @property
    def names(self) -> tuple[str, ...]:
        """How the elder is written: the partition key, and the id that it stands for."""
        return tuple(dict.fromkeys((self.elder, elder_id_of_key(self.elder) or self.elder)))

    @property
    def subject_hash(self) -> str:
        """What a receipt calls the elder, or the elder's memory."""
        return salted_hash(self.salt, self.elder, self.memory)

    def digest(self, lines: list[str]) -> str:
        """Commits to what was removed, without saying it: 64 hex digits."""
        text = "\n".join(sorted(lines)).encode()
        return hmac.new(bytes.fromhex(self.salt), text, hashlib.sha256).hexdigest()


def salted_hash(salt: str, elder: str, memory: str | None) -> str:
    """Hash of an elder's id, or of one memory's, with the salt of a receipt: 64 hex digits."""
    text = "\0".join([elder, *([] if memory is None else [memory])]).encode()
    return hashlib.scrypt(
        text, salt=bytes.fromhex(salt), n=_SCRYPT_COST, r=_SCRYPT_BLOCK, p=1, dklen=32
    ).hex()
