"""Traces of what agents do, as a narrow interface: rollouts, model calls, judge calls and
evaluations open spans.

Nothing is traced until `use_tracer` says where to (see weave_tracing.py); the code that opens spans
does not know.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

SpanKind = Literal["evaluation", "rollout", "llm_call", "tool_call", "judge_call"]


class Span(Protocol):
    """One step that is being traced."""

    def finish(self, output: object) -> None:
        """Say what came out; an exception that leaves the span is recorded without this."""
        ...


class Tracer(Protocol):
    """Anything that keeps traces. A tracer never raises: what it cannot keep it counts."""

    def span(self, kind: SpanKind, inputs: Mapping[str, object]) -> AbstractContextManager[Span]:
        """Open a span below the one that is open in this task."""
        ...


class _Untraced:
    def finish(self, output: object) -> None:
        """Nothing."""


_UNTRACED = _Untraced()
_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


@contextmanager
def use_tracer(tracer: Tracer) -> Iterator[None]:
    """Trace what runs inside, tasks started there included."""
    token = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(token)


@contextmanager
def span(kind: SpanKind, inputs: Callable[[], Mapping[str, object]]) -> Iterator[Span]:
    """Trace a step; costs next to nothing while nobody traces: `inputs` is only called when
    somebody does.
    """
    tracer = _tracer.get()
    if tracer is None:
        yield _UNTRACED
        return
    with tracer.span(kind, inputs()) as opened:
        yield opened
