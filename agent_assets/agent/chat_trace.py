"""The trace of one answer: collected while it is made, written when it has ended.

An answer must not wait for a disk, so nothing is written before; what is lost is counted, and an
answer never fails for it. It stays on this machine, whatever traces of training do.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from agent_assets.agent.trace_store import TraceServer
from agent_assets.agent.tracing import Span, SpanKind
from agent_assets.conversations.messages import JsonObject

_open_span: ContextVar[str | None] = ContextVar("open_span", default=None)


class ChatTrace:
    """A tracer for one answer.

    Args:
        attributes: ids that every step carries: pipeline, elder, run.
    """

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._attributes = dict(attributes)
        self._trace_id = str(uuid.uuid4())
        self._started: list[JsonObject] = []
        self._ended: list[JsonObject] = []

    @contextmanager
    def span(self, kind: SpanKind, inputs: Mapping[str, object]) -> Iterator[Span]:
        """One step, below the one that is open in this task."""
        number, opened = str(uuid.uuid4()), _Output()
        self._started.append(
            {
                "id": number,
                "trace_id": self._trace_id,
                "parent_id": _open_span.get(),
                "op_name": kind,
                "started_at": _now(),
                "attributes": self._attributes,
                "inputs": dict(inputs),
            }
        )
        token, failure = _open_span.set(number), None
        try:
            yield opened
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            _open_span.reset(token)
            self._ended.append(
                {
                    "id": number,
                    "ended_at": _now(),
                    "output": opened.output,
                    "exception": failure,
                    "summary": {},
                }
            )

    def write(self, path: Path) -> int:
        """Add the steps to the agent's trace file; returns how many parts were lost. It blocks."""
        server = TraceServer(path)
        try:
            for start in self._started:
                server.call_start({"start": start})
            for end in self._ended:
                server.call_end({"end": end})
            return server.lost
        finally:
            server.close()


class _Output:
    output: object = None

    def finish(self, output: object) -> None:
        """Keep the output for the end of the step."""
        self.output = output


def _now() -> str:
    return datetime.now(UTC).isoformat()
