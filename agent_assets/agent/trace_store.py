"""Traces on this machine: one SQLite file per agent, so that an elder's traces are removed by
removing a file.

`TraceServer` answers the part of weave's trace server protocol (weave 0.54.0, pinned) that its
client needs to record calls. Reading needs no weave.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_assets.conversations.messages import JsonObject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id TEXT PRIMARY KEY, trace_id TEXT, parent_id TEXT, op TEXT, started_at TEXT, ended_at TEXT,
    attributes TEXT, inputs TEXT, output TEXT, exception TEXT, summary TEXT
);
CREATE INDEX IF NOT EXISTS by_trace ON calls (trace_id);
CREATE TABLE IF NOT EXISTS objects (digest TEXT PRIMARY KEY, value BLOB);
"""
_BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Call:
    """One traced step. Times are ISO 8601 in UTC; `ended_at` is None for a step that never
    ended.
    """

    id: str
    trace_id: str
    parent_id: str | None
    kind: str
    started_at: str
    ended_at: str | None
    attributes: dict[str, Any]
    inputs: dict[str, Any]
    output: object
    exception: str | None


@dataclass(frozen=True)
class TraceLine:
    """One trace in a list: its first step, and how many there are."""

    trace_id: str
    kind: str
    started_at: str
    run_id: str
    steps: int
    failed: int


class TraceServer:
    """Keeps what weave's client sends. It never raises: what cannot be written is counted, and the
    first error kept.

    weave swallows errors of its server; counting here is what makes a full disk visible.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self.lost = 0
        self.error: str | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # The protocol. Requests are mappings; a call's end may arrive before its start.

    def ensure_project_exists(self, entity: str, project: str) -> Any:
        """The project as it is called."""
        return _Answer(project_name=project)

    def server_info(self) -> Any:
        """No limits on client versions."""
        return _Answer(min_required_weave_python_version="0.0.0", trace_server_version=None)

    def call_start(self, req: JsonObject) -> Any:
        """A call began."""
        start = req["start"]
        self._write(
            "INSERT INTO calls (id, trace_id, parent_id, op, started_at, attributes, inputs)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET trace_id = excluded.trace_id, parent_id = "
            "excluded.parent_id,"
            " op = excluded.op, started_at = excluded.started_at, attributes = excluded.attributes,"
            " inputs = excluded.inputs",
            start["id"],
            start["trace_id"],
            start["parent_id"],
            _op_name(start["op_name"]),
            _text(start["started_at"]),
            _json(start["attributes"]),
            _json(start["inputs"]),
        )
        return _Answer(id=start["id"], trace_id=start["trace_id"])

    def call_end(self, req: JsonObject) -> Any:
        """A call ended."""
        end = req["end"]
        self._write(
            "INSERT INTO calls (id, ended_at, output, exception, summary) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, output = "
            "excluded.output,"
            " exception = excluded.exception, summary = excluded.summary",
            end["id"],
            _text(end["ended_at"]),
            _json(end.get("output")),
            end.get("exception"),
            _json(end["summary"]),
        )
        return _Answer()

    def obj_create(self, req: JsonObject) -> Any:
        """An object, such as the definition of an operation."""
        return _Answer(digest=self._keep(_json(req["obj"]["val"]).encode()))

    def table_create(self, req: JsonObject) -> Any:
        """The rows of a table."""
        rows = [self._keep(_json(row).encode()) for row in req["table"]["rows"]]
        return _Answer(digest=self._keep(_json(rows).encode()), row_digests=rows)

    def file_create(self, req: JsonObject) -> Any:
        """A file, such as the source of an operation."""
        _name, content = req["file"]
        return _Answer(digest=self._keep(content))

    def _keep(self, value: bytes) -> str:
        digest = hashlib.sha256(value).hexdigest()
        self._write("INSERT OR IGNORE INTO objects VALUES (?, ?)", digest, value)
        return digest

    def _write(self, statement: str, *values: object) -> None:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _create(self._path)
                self._connection.execute(statement, values)
            except (sqlite3.Error, OSError) as error:  # recorded: whoever traces reports the count
                self.lost += 1
                self.error = self.error or f"{type(error).__name__}: {error}"


class _Answer:
    """A reply with attributes, as the client reads it."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


def list_traces(path: Path) -> list[TraceLine]:
    """The traces of one agent, the latest first."""
    query = (
        "SELECT trace_id, max(CASE WHEN parent_id IS NULL THEN op END), min(started_at),"
        " max(CASE WHEN parent_id IS NULL THEN attributes END), count(*), sum(exception IS NOT "
        "NULL)"
        " FROM calls WHERE trace_id IS NOT NULL GROUP BY trace_id ORDER BY 3 DESC, 1"
    )
    with _open(path) as connection:
        return [
            TraceLine(trace_id, kind or "?", started, _run_id(attributes), steps, failed)
            for trace_id, kind, started, attributes, steps, failed in connection.execute(query)
        ]


def read_trace(path: Path, trace_id: str) -> list[Call]:
    """The steps of a trace whose id starts with `trace_id`, in the order they began; empty when
    there is none.
    """
    query = (
        "SELECT id, trace_id, parent_id, op, started_at, ended_at, attributes, inputs, output, "
        "exception FROM calls"
        " WHERE trace_id >= ? AND trace_id < ? ORDER BY started_at, id"
    )
    with _open(path) as connection:
        rows = connection.execute(query, (trace_id, trace_id + "\uffff")).fetchall()
    return [
        Call(*(json.loads(v or "null") if 6 <= n < 9 else v for n, v in enumerate(row)))
        for row in rows
    ]


def _create(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "PRAGMA synchronous = OFF"
    )  # a trace lost with the machine's power is a trace lost
    connection.executescript(_SCHEMA)
    return connection


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(
        sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    ) as connection:
        yield connection


def _op_name(reference: str) -> str:
    """`rollout` of `weave:///entity/project/op/rollout:digest`."""
    return reference.rpartition("/")[2].partition(":")[0]


def _run_id(attributes: str | None) -> str:
    return str(json.loads(attributes or "{}").get("run_id", ""))


def _text(time: Any) -> str:
    return time if isinstance(time, str) else str(time.isoformat())


_json: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, default=str).encode
