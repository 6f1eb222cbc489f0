"""How an erasure reaches processes that answer: by files in the home that both look at.

A process that answers announces itself with a locked file in `<home>/run/answering`, which the
kernel unlocks however the process ends. An erasure puts a notice beside it and waits until every
process that lives has said what it held of the elder, and let go of it.
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_assets.errors import ErasureError
from agent_assets.file_locks import is_locked

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Notice:
    """Something of an elder is to be let go of, or counted.

    Args:
        let_go: False only asks how much there is.
    """

    path: Path
    elder: str
    let_go: bool


@dataclass(frozen=True)
class Announced:
    """A process that answers, as erasures know it."""

    path: Path

    def open_notices(self) -> list[Notice]:
        """Those this process has not answered yet."""
        notices = []
        for path in sorted(self.path.parent.glob("*.notice")):
            if self._reply(path).exists():
                continue
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # the erasure does not wait any more
                continue
            notices.append(Notice(path, content["elder"], content["let_go"]))
        return notices

    def answer(self, notice: Notice, held: int) -> None:
        """Say that a notice was heeded, and how many things of the elder this process held."""
        partial = self._reply(notice.path).with_suffix(".partial")
        partial.write_text(str(held), encoding="ascii")
        partial.rename(self._reply(notice.path))

    def _reply(self, notice: Path) -> Path:
        return notice.with_name(f"{notice.stem}.{self.path.stem}.reply")


@contextmanager
def announced(home: Path) -> Iterator[Announced]:
    """Let erasures wait for this process, until the block ends."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.here"
    with path.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield Announced(path)
        finally:
            path.unlink(missing_ok=True)


def ask_processes(home: Path, elder: str, *, let_go: bool, wait_s: float) -> int:
    """How many things of an elder the answering processes of this home hold, or held.

    Args:
        let_go: they let go of them before this returns.
        wait_s: longest wait for one that lives.

    Raises:
        ErasureError: a process does not answer.
    """
    folder = _folder(home)
    here = sorted(path for path in folder.glob("*.here") if is_locked(path))
    if not here:
        return 0
    notice = folder / f"{uuid.uuid4().hex}.notice"
    partial = notice.with_suffix(".partial")
    partial.write_text(json.dumps({"elder": elder, "let_go": let_go}), encoding="utf-8")
    partial.rename(notice)
    replies = {path: notice.with_name(f"{notice.stem}.{path.stem}.reply") for path in here}
    deadline = time.monotonic() + wait_s
    try:
        while waiting := [p for p, reply in replies.items() if not reply.exists() and is_locked(p)]:
            if time.monotonic() > deadline:
                raise ErasureError(
                    f"A process that answers (number {waiting[0].stem.split('-')[0]}) does not let "
                    "go of the elder.",
                    next_step="end it, and erase again.",
                )
            time.sleep(_POLL_SECONDS)
        return sum(int(reply.read_text()) for reply in replies.values() if reply.exists())
    finally:
        for path in (notice, *replies.values()):
            path.unlink(missing_ok=True)


def _folder(home: Path) -> Path:
    return home / "run" / "answering"
