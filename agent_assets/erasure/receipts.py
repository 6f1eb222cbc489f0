"""Receipts: what was erased, when, by whom and why, each chained to the one before by its hash.

`<home>/erasure/receipts/000001.json` and so on; `head.json` beside them holds the number and the
hash of the last, so that a receipt that was taken from the end is missed. A receipt names nobody:
the elder is a hash with a salt, and whoever knows the id can show that it is theirs.
"""

import hashlib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_assets.conversations.messages import canonical_json
from agent_assets.erasure.request import salted_hash
from agent_assets.errors import ReceiptError
from agent_assets.store.disk import disk_errors, sync

_FIRST = "0" * 64


class Found(BaseModel):
    """What one place held. `digest` commits to it, see `ErasureRequest.digest`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = 0
    bytes: int = 0
    digest: str = ""


class Receipt(BaseModel):
    """The record of one erasure. Times are ISO 8601 in UTC.

    Args:
        previous: hash of the receipt before, 64 zeros for the first.
        subject: salted hash of the elder's id (of elder and memory, where one memory went).
        kind: whether everything of an elder went, or one memory.
        places: what went, by place.
        kept: what stays here on purpose.
        out_of_reach: what this installation cannot erase.
        hash: of all the other fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    previous: str
    id: str
    kind: str
    subject: str
    salt: str
    who: str
    why: str
    started_at: str
    finished_at: str
    places: dict[str, Found]
    kept: tuple[str, ...]
    out_of_reach: tuple[str, ...]
    hash: str = ""

    def sealed(self) -> Self:
        """The receipt with its hash."""
        return self.model_copy(update={"hash": self.own_hash()})

    def own_hash(self) -> str:
        """Hash of everything but `hash`."""
        content = self.model_dump(mode="json", exclude={"hash"})
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def is_of(self, elder: str, memory: str | None = None) -> bool:
        """Whether it is the receipt of this elder, or of this memory of theirs."""
        return self.subject == salted_hash(self.salt, elder, memory)


class _Head(BaseModel):
    number: int = 0
    hash: str = _FIRST


class ReceiptChain:
    """The receipts of one installation. Writers hold the lock of erasures."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "erasure" / "receipts"

    def find(self, erasure_id: str) -> Receipt | None:
        """The receipt of an erasure; None where it has none yet."""
        return next((r for r in reversed(self.all()) if r.id == erasure_id), None)

    def all(self) -> list[Receipt]:
        """All receipts in order.

        Raises:
            ReceiptError: one cannot be read.
        """
        return [self._read(path) for path in sorted(self.folder.glob("[0-9]*.json"))]

    def append(self, receipt: Receipt) -> Receipt:
        """Put a receipt at the end of the chain; its number, `previous` and hash are set here."""
        receipts = self.all()
        last = receipts[-1] if receipts else None
        head = self._head()
        if last is not None and last.number == head.number + 1 and last.previous == head.hash:
            head = self._write_head(last)  # this process's predecessor died between the two files
        sealed = receipt.model_copy(
            update={"number": head.number + 1, "previous": head.hash}
        ).sealed()
        path = self.folder / f"{sealed.number:06d}.json"
        if path.exists():
            raise ReceiptError(
                f"The chain of receipts is broken: {path} is there already.",
                next_step="`agent-assets receipts verify` says where; restore the folder from a "
                "backup.",
            )
        replace_json(path, sealed)
        self._write_head(sealed)
        return sealed

    def problems(self) -> list[str]:
        """What is wrong with the chain, in words; [] when it holds."""
        problems, previous, number = [], _FIRST, 0
        try:
            receipts = self.all()
            head = self._head()
        except ReceiptError as error:
            return [error.message]
        for number, receipt in enumerate(receipts, start=1):
            if receipt.number != number:
                problems.append(f"receipt {number} is missing (there is {receipt.number})")
                break
            if receipt.own_hash() != receipt.hash:
                problems.append(f"receipt {number} was changed: its hash does not fit")
            if receipt.previous != previous:
                problems.append(f"receipt {number} does not follow the one before it")
            previous = receipt.hash
        in_time = receipts and receipts[-1].previous == head.hash
        if not problems and (number, previous) != (head.number, head.hash) and not in_time:
            problems.append(f"{head.number} receipts were written, and {number} are there")
        return problems

    def _read(self, path: Path) -> Receipt:
        try:
            return Receipt.model_validate_json(path.read_bytes())
        except ValidationError:
            raise ReceiptError(
                f"The receipt {path} cannot be read.", next_step="restore it from a backup."
            ) from None

    def _head(self) -> _Head:
        path = self.folder / "head.json"
        try:
            return _Head.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _Head()
        except ValidationError:
            raise ReceiptError(
                f"{path} cannot be read.", next_step="restore it from a backup."
            ) from None

    def _write_head(self, receipt: Receipt) -> _Head:
        head = _Head(number=receipt.number, hash=receipt.hash)
        replace_json(self.folder / "head.json", head)
        return head


def replace_json(path: Path, content: BaseModel) -> None:
    """Let a file hold this, in one step, so that it survives a loss of power."""
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(".partial")
        partial.write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
        sync(partial)
        partial.replace(path)
        sync(path.parent)
