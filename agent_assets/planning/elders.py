"""Which elders there are and what version their memories have, from cheap change tokens first and
content only where needed.

Every check reads a *change token* per elder (counts and times, from an index of the database). Only
elders whose token moved have their content read; its digest is the version. A full check compares a
checksum of everything as well, for writers that forget to move `updatedAt`.
"""

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from agent_assets.conversations.set_aside import SetAside
from agent_assets.planning.index import PlanIndex, counts_in_row

UNUSABLE = ""  # digest of an elder without one usable answer
_BATCH = 200


@dataclass(frozen=True)
class ChangeTokens:
    """What a look at the database says. Tokens by elder id; what cannot be used is set aside, by
    reason, and profiles twice are counted.

    `advice` is what an operator should change to make looks cheap, "" when there is nothing.
    """

    elders: Mapping[str, str]
    questions: Mapping[str, str]
    set_aside: Mapping[str, SetAside] = field(default_factory=dict)
    duplicate_profiles: int = 0
    advice: str = ""


@dataclass(frozen=True)
class ElderContent:
    """Digest of what an elder told, `UNUSABLE` without one usable answer, and how many documents
    could not be used, by reason.
    """

    elder: str
    digest: str
    skipped: Mapping[str, int] = field(default_factory=dict)


class ElderSource(Protocol):
    """Where elders come from. Tokens and checksums are asked for at the same time, from two
    threads.
    """

    @property
    def scope(self) -> str:
        """Names the database, its layout, and what of an answer counts: digests of one scope are
        comparable.
        """

    def change_tokens(self) -> ChangeTokens:
        """A change token of every elder and of every question, cheap enough for every tick."""

    def checksums(self) -> Mapping[str, str]:
        """A checksum of everything each elder told. Reads the whole database."""

    def answering(self, questions: Iterable[str]) -> set[str]:
        """Elders with an answer to one of these questions."""

    def contents(self, elders: Iterable[str]) -> Iterator[ElderContent]:
        """What these elders told."""


@dataclass(frozen=True)
class Elders:
    """The elders of one scope after a check.

    Args:
        digests: content digest by elder, for all whose content is known and usable.
        settled: since when (seconds since 1970) the change token of each elder did not move.
        unusable: elders without one usable answer, sorted.
        unread: elders whose content is still to be read: the check ran out of time.
        gone: elders that were there and are not any more, and since when.
        set_aside: what could not be used, by reason: ids, questions, profiles, and documents of
            elders whose content is known.
        read: how many elders had their content read in this check.
    """

    digests: Mapping[str, str]
    settled: Mapping[str, float]
    unusable: tuple[str, ...]
    unread: tuple[str, ...]
    gone: Mapping[str, float]
    set_aside: Mapping[str, SetAside]
    duplicate_profiles: int
    advice: str
    read: int


def check_elders(
    source: ElderSource,
    index: PlanIndex,
    *,
    now: float,
    full: bool = False,
    budget_s: float = float("inf"),
    partitions: Collection[str] = (),
) -> Elders:
    """Look which elders changed since the last check.

    Args:
        now: seconds since 1970. It may lie before the last check's: a clock that is set back delays
            nothing.
        full: compare checksums of all content, too.
        budget_s: read contents for that long at most; the rest is left to the next check. At least
            one batch is read.
        partitions: elders who should be there: those the database lacks are gone, even if the index
            never saw them.

    Raises:
        MongoUnavailable: the database does not answer.
    """
    started = time.monotonic()
    with index.open() as connection:
        known = _load(connection, source.scope)
        questions = _load_questions(connection, source.scope)
    with ThreadPoolExecutor(1) as pool:  # the database works on both at once
        summing = pool.submit(source.checksums) if full or not known else None
        change_tokens = source.change_tokens()
        checksums = summing.result() if summing else {}
    moved_questions = _differing(questions, change_tokens.questions) if known else set()
    touched = source.answering(moved_questions) if moved_questions else set()
    states = {
        elder: _next_state(known.get(elder), change_token, now)
        for elder, change_token in change_tokens.elders.items()
    }
    for elder, state in states.items():
        if elder in touched or (
            elder in checksums and state.checksum not in (None, checksums[elder])
        ):
            state.read = False
        state.checksum = checksums.get(elder, state.checksum)
    absent = (known.keys() | set(partitions)) - change_tokens.elders.keys()
    gone = {elder: _gone_since(known.get(elder), now) for elder in sorted(absent)}
    changed = {elder: state for elder, state in states.items() if state != known.get(elder)}
    left = {
        elder: since
        for elder, since in gone.items()
        if elder not in known or known[elder].gone_since != since
    }
    if changed or left or questions != change_tokens.questions:
        with index.open() as connection:
            # Written before contents are read: a check that is cut short loses no flag.
            _store(connection, source.scope, changed)
            _store_gone(connection, source.scope, left)
            _store_questions(connection, source.scope, change_tokens.questions)
    flagged = sorted(elder for elder, state in states.items() if not state.read)
    read = _read_contents(source, index, states, flagged, started + budget_s)
    return Elders(
        digests={
            elder: state.digest for elder, state in states.items() if state.read and state.digest
        },
        settled={elder: state.moved_at for elder, state in states.items()},
        unusable=tuple(
            sorted(
                elder for elder, state in states.items() if state.read and state.digest == UNUSABLE
            )
        ),
        unread=tuple(flagged[read:]),
        gone=gone,
        set_aside={**change_tokens.set_aside, **_skipped_by_reason(states)},
        duplicate_profiles=change_tokens.duplicate_profiles,
        advice=change_tokens.advice,
        read=read,
    )


def known_set_aside(index: PlanIndex, scope: str) -> dict[str, SetAside]:
    """Documents of elders that could not be used when they were last read, by reason."""
    with index.open() as connection:
        return _skipped_by_reason(_load(connection, scope))


def forget_elder(index: PlanIndex, scope: str, elder: str) -> None:
    """Drop what is known of an elder who was removed."""
    with index.open() as connection:
        connection.execute("DELETE FROM elders WHERE scope = ? AND elder = ?", (scope, elder))


@dataclass
class _State:
    """One row. `read` says whether `digest` belongs to the present content."""

    change_token: str
    checksum: str | None
    digest: str | None
    moved_at: float
    gone_since: float | None = None
    read: bool = True
    skipped: Mapping[str, int] = field(default_factory=dict)


def _next_state(before: _State | None, change_token: str, now: float) -> _State:
    if before is None:
        return _State(change_token, None, None, now, read=False)
    moved = before.change_token != change_token or before.gone_since is not None
    # A clock that was set back must not make a settled elder wait for the old time to come again.
    moved_at = now if moved else min(before.moved_at, now)
    read = not moved and before.read
    return _State(
        change_token, before.checksum, before.digest, moved_at, read=read, skipped=before.skipped
    )


def _gone_since(before: _State | None, now: float) -> float:
    return now if before is None or before.gone_since is None else min(before.gone_since, now)


def _read_contents(
    source: ElderSource,
    index: PlanIndex,
    states: Mapping[str, _State],
    flagged: list[str],
    deadline: float,
) -> int:
    """Read the contents of flagged elders in batches, recording each; returns how many were
    read.
    """
    done = 0
    while done < len(flagged) and (done == 0 or time.monotonic() < deadline):
        batch = flagged[done : done + _BATCH]
        contents = {content.elder: content for content in source.contents(batch)}
        for elder in batch:
            content = contents.get(elder, ElderContent(elder, UNUSABLE))
            states[elder].digest, states[elder].skipped = content.digest, content.skipped
            states[elder].read = True
        with index.open() as connection:
            _store(connection, source.scope, {elder: states[elder] for elder in batch})
        done += len(batch)
    return done


def _skipped_by_reason(states: Mapping[str, _State]) -> dict[str, SetAside]:
    """Documents that could not be used, by reason, and the elders they are of."""
    by_reason: dict[str, SetAside] = {}
    for elder, state in sorted(states.items()):
        for reason, count in state.skipped.items():
            entry = by_reason.setdefault(f"documents ({reason})", SetAside())
            entry.add(f"{elder} {count}", count)
    return dict(sorted(by_reason.items()))


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _load(connection: sqlite3.Connection, scope: str) -> dict[str, _State]:
    query = (
        "SELECT elder, mark, checksum, digest, moved_at, gone_since, skipped FROM elders "
        "WHERE scope = ?"
    )
    rows = connection.execute(query, (scope,))
    # A row without a digest was flagged by a check that did not get to read it.
    return {
        elder: _State(
            change_token,
            checksum,
            digest,
            moved_at,
            gone_since,
            digest is not None and counts_in_row(skipped) is not None,
            counts_in_row(skipped) or {},
        )
        for elder, change_token, checksum, digest, moved_at, gone_since, skipped in rows
    }


def _store(connection: sqlite3.Connection, scope: str, states: Mapping[str, _State]) -> None:
    rows = [
        (
            scope,
            elder,
            state.change_token,
            state.checksum,
            state.digest if state.read else None,
            state.moved_at,
            json.dumps(dict(state.skipped)),
        )
        for elder, state in states.items()
    ]
    connection.executemany("INSERT OR REPLACE INTO elders VALUES (?, ?, ?, ?, ?, ?, NULL, ?)", rows)


def _store_gone(connection: sqlite3.Connection, scope: str, gone: Mapping[str, float]) -> None:
    rows = [(scope, elder, since, since) for elder, since in gone.items()]
    connection.executemany(
        "INSERT INTO elders VALUES (?, ?, '', NULL, NULL, ?, ?, '{}') "
        "ON CONFLICT (scope, elder) DO UPDATE SET gone_since = excluded.gone_since",
        rows,
    )


def _load_questions(connection: sqlite3.Connection, scope: str) -> dict[str, str]:
    return dict(
        connection.execute(
            "SELECT question, mark FROM questions WHERE scope = ?", (scope,)
        ).fetchall()
    )


def _store_questions(
    connection: sqlite3.Connection, scope: str, change_tokens: Mapping[str, str]
) -> None:
    connection.execute("DELETE FROM questions WHERE scope = ?", (scope,))
    rows = [(scope, question, change_token) for question, change_token in change_tokens.items()]
    connection.executemany("INSERT INTO questions VALUES (?, ?, ?)", rows)
