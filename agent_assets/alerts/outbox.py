"""What was noticed and is still to be sent: one SQLite file in the home.

It holds kinds, counts, ids of runs and fingerprints, nothing of a person. Losing it loses counts
and alerts that were not sent yet.
"""

import json
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent_assets.alerts.config import Event
from agent_assets.store.sqlite_file import SqliteDamaged, transaction

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS noticed (event TEXT, key TEXT, at REAL, PRIMARY KEY (event, key))",
    "CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, event TEXT, content TEXT, "
    "attempts INTEGER, next_at REAL)",
    "CREATE TABLE IF NOT EXISTS counts (event TEXT, result TEXT, number INTEGER, "
    "PRIMARY KEY (event, result))",
)
_KEEP_S = 90 * 86_400.0
_MOST_WAITING = 1000
NOTICED, SENT, LOST = "noticed", "sent", "lost"


@dataclass(frozen=True)
class Waiting:
    """An alert that is to be sent. `content` is its JSON, the same in every attempt."""

    id: str
    event: Event
    content: str
    attempts: int


class Outbox:
    """The file below a home. Several processes may use it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "alerts" / "alerts.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(SqliteDamaged):  # it was set aside
            self._prepare()
            return
        self._prepare()

    def notice(
        self,
        event: Event,
        key: str,
        content: Mapping[str, object],
        *,
        now: float,
        send: bool,
        again_s: float = float("inf"),
    ) -> bool:
        """Count an event, and put it into the outbox where it is to be sent.

        Args:
            key: of two events with the same key within `again_s` seconds the second is none.

        Returns:
            whether it was a new one.
        """
        alert = {"id": uuid.uuid4().hex, "event": event.value, "at": now, **content}
        with transaction(self.path) as connection:
            row = connection.execute(
                "SELECT at FROM noticed WHERE event = ? AND key = ?", (event.value, key)
            ).fetchone()
            if row is not None and abs(now - row[0]) < again_s:  # a clock may be set back
                return False
            connection.execute(
                "INSERT OR REPLACE INTO noticed VALUES (?, ?, ?)", (event.value, key, now)
            )
            connection.execute("DELETE FROM noticed WHERE at < ?", (now - _KEEP_S,))
            _count(connection, event.value, NOTICED)
            if send:
                connection.execute(
                    "INSERT INTO outbox VALUES (?, ?, ?, 0, ?)",
                    (alert["id"], event.value, json.dumps(alert, sort_keys=True), now),
                )
                _drop_oldest(connection)
        return True

    def over(self, event: Event, key: str) -> None:
        """What was noticed is not so any more: the next time it is told at once."""
        with transaction(self.path) as connection:
            connection.execute(
                "DELETE FROM noticed WHERE event = ? AND key = ?", (event.value, key)
            )

    def due(self, now: float) -> list[Waiting]:
        """What is to be sent now, the oldest first."""
        query = "SELECT id, event, content, attempts FROM outbox WHERE next_at <= ? ORDER BY rowid"
        with transaction(self.path) as connection:
            rows = connection.execute(query, (now,)).fetchall()
        return [Waiting(id_, Event(event), content, tried) for id_, event, content, tried in rows]

    def sent(self, waiting: Waiting) -> None:
        """It was taken."""
        self._done(waiting, SENT)

    def lost(self, waiting: Waiting) -> None:
        """It will not be tried again."""
        self._done(waiting, LOST)

    def failed(self, waiting: Waiting, *, next_at: float) -> None:
        """It was not taken, and is tried again."""
        with transaction(self.path) as connection:
            connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_at = ? WHERE id = ?",
                (next_at, waiting.id),
            )

    def counts(self) -> dict[tuple[str, str], int]:
        """By event and result (`noticed`, `sent`, `lost`), since the home was made."""
        with transaction(self.path) as connection:
            rows = connection.execute("SELECT event, result, number FROM counts").fetchall()
        return {(event, result): number for event, result, number in rows}

    def waiting(self) -> int:
        """How many are still to be sent."""
        with transaction(self.path) as connection:
            (number,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        return int(number)

    def _prepare(self) -> None:
        with transaction(self.path) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)

    def _done(self, waiting: Waiting, result: str) -> None:
        with transaction(self.path) as connection:
            connection.execute("DELETE FROM outbox WHERE id = ?", (waiting.id,))
            _count(connection, waiting.event.value, result)


def _count(connection: sqlite3.Connection, event: str, result: str) -> None:
    connection.execute(
        "INSERT INTO counts VALUES (?, ?, 1) "
        "ON CONFLICT (event, result) DO UPDATE SET number = number + 1",
        (event, result),
    )


def _drop_oldest(connection: sqlite3.Connection) -> None:
    """A webhook that is gone for good must not fill the disk."""
    old = connection.execute(
        "SELECT id, event FROM outbox ORDER BY rowid DESC LIMIT -1 OFFSET ?", (_MOST_WAITING,)
    ).fetchall()
    for id_, event in old:
        connection.execute("DELETE FROM outbox WHERE id = ?", (id_,))
        _count(connection, event, LOST)
