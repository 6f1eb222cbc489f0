"""Tracing on weave: to W&B with TRACES=wandb, else into the traces folder of the store.

weave is imported when the first session opens, never with the code location. A tracer never stops
the work it looks at: what it could not keep is counted, said once in the run's log, and stands in
the session's figures.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_assets.agent.trace_store import TraceServer
from agent_assets.agent.tracing import Span, SpanKind, use_tracer
from agent_assets.no_telemetry import send_nothing

if TYPE_CHECKING:
    from weave.trace.weave_client import WeaveClient

LOCAL_ENTITY = "local"
# weave prints links, and looks for git and pip: none of that belongs here. It would keep what it
# cannot send in files of the working directory, and what it read in a cache: what people said.
_QUIET = {
    "WEAVE_PRINT_CALL_LINK": "false",
    "WEAVE_CAPTURE_CODE": "false",
    "WEAVE_IMPLICITLY_PATCH_INTEGRATIONS": "false",
    "WEAVE_ENABLE_WAL": "false",
    "WEAVE_ENABLE_DISK_FALLBACK": "false",
    "WEAVE_USE_SERVER_CACHE": "false",
    "WEAVE_RETRY_MAX_INTERVAL": "10",
}
_SEND_SECONDS = 60.0


@dataclass
class TraceFigures:
    """What became of a session's spans."""

    spans: int = 0
    lost: int = 0


@dataclass(frozen=True)
class WeaveTracing:
    """Where traces go. `wandb_project` (`project` or `entity/project`) is None where traces
    stay on this machine.
    """

    wandb_project: str | None = None

    @contextmanager
    def session(
        self, path: Path, attributes: Mapping[str, str], *, report: Callable[[str], None]
    ) -> Iterator[TraceFigures]:
        """Trace what runs inside; its figures are complete at the end.

        Args:
            path: the agent's trace file (see `store.erasable_data.trace_file`), used without W&B.
            attributes: ids that every span carries: pipeline, elder, run.
            report: told once, at the end, when spans were lost.
        """
        figures = TraceFigures()
        send_nothing()
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        server = None if self.wandb_project else TraceServer(path)
        try:
            client = self._client(path, server)
        except Exception as error:  # noqa: BLE001  # W&B raises whatever it likes; evaluation must not fail for it
            report(f"Nothing is traced: the trace backend refused ({type(error).__name__}).")
            yield figures
            return
        tracer = WeaveTracer(client, attributes, figures)
        try:
            with _problems_of_weave() as problems, use_tracer(tracer):
                try:
                    yield figures
                finally:
                    _close(client, problems, within=_SEND_SECONDS if server is None else None)
        finally:
            reason = tracer.error
            if server is not None:
                figures.lost += server.lost
                reason = server.error or reason
                server.close()
            elif problems:
                figures.lost += len(problems)
                reason = reason or f"W&B did not take them ({problems[0]})"
            if figures.lost:
                report(f"{figures.lost} parts of {figures.spans} traced steps were lost: {reason}")

    def _client(self, path: Path, server: TraceServer | None) -> "WeaveClient":
        from weave.trace.context.weave_client_context import set_weave_client_global
        from weave.trace.weave_client import WeaveClient

        if server is not None:
            client = WeaveClient(LOCAL_ENTITY, path.stem, server)  # type: ignore[arg-type]  # the part that is called
            set_weave_client_global(client)
            return client
        import weave
        from weave.trace import init_message, weave_init

        # It would ask PyPI for a newer version each time.
        init_message._print_version_check = lambda: None
        # It would send every OpenTelemetry span of this process to W&B from here on, also those of
        # other libraries, which carry no elder to find them by.
        weave_init._setup_conversation_tracing = lambda *_: None
        return weave.init(str(self.wandb_project))


@contextmanager
def connected(project: str) -> Iterator["WeaveClient"]:
    """A client of W&B for something else than tracing; closed at the end of the block."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    client = WeaveTracing(project)._client(Path(), None)
    try:
        yield client
    finally:
        _close(client, [], within=0.0)  # nothing waits to be sent


class WeaveTracer:
    """Spans as weave calls."""

    def __init__(
        self, client: "WeaveClient", attributes: Mapping[str, str], figures: TraceFigures
    ) -> None:
        self._client = client
        self._attributes = dict(attributes)
        self._figures = figures
        self.error: str | None = None

    @contextmanager
    def span(self, kind: SpanKind, inputs: Mapping[str, object]) -> Iterator[Span]:
        """One weave call, below the call that is open in this task."""
        call = self._try(self._client.create_call, kind, dict(inputs), attributes=self._attributes)
        self._figures.spans += 1
        opened = _WeaveSpan()
        try:
            yield opened
        except BaseException as error:
            self._end(call, None, error)
            raise
        self._end(call, opened.output, None)

    def _end(self, call: Any, output: object, error: BaseException | None) -> None:
        if call is not None:
            self._try(self._client.finish_call, call, output, error)

    def _try(self, function: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # a trace backend must not end the work that it traces
            self._figures.lost += 1
            self.error = self.error or type(error).__name__
            return None


class _WeaveSpan:
    output: object = None

    def finish(self, output: object) -> None:
        """Keep the output for the end of the span."""
        self.output = output


@contextmanager
def _problems_of_weave() -> Iterator[list[str]]:
    """What weave only logs, where in its code: it sends from threads of its own, and says it
    nowhere else.
    """
    loggers: list[str] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loggers.append(record.name)  # never the message: it may quote what was sent

    notes, logger = Notes(logging.WARNING), logging.getLogger("weave")
    logger.addHandler(notes)
    try:
        yield loggers
    finally:
        logger.removeHandler(notes)


def _close(client: "WeaveClient", problems: list[str], *, within: float | None) -> None:
    """Send what waits and end the client's threads: weave itself keeps them until the process ends.

    Args:
        within: seconds for sending; what is not sent then is a problem. None waits to the end.
    """
    from weave.trace.context.weave_client_context import set_weave_client_global
    from weave.trace_server_bindings import call_batch_processor

    # Every step has ended: one whose start could not be sent has none to wait for, and weave waits
    # five minutes.
    call_batch_processor.FLUSH_TIMEOUT_SECONDS = 1

    def send() -> None:
        client.finish(use_progress_bar=False)
        for name in ("call_processor", "feedback_processor"):
            processor = getattr(client.server, name, None)
            if processor is not None:
                processor.stop_accepting_new_work_and_flush_queue()

    sending = threading.Thread(target=send, name="weave-finish", daemon=True)
    sending.start()
    sending.join(within)
    if sending.is_alive():
        problems.append(f"not sent within {within:.0f} s")
    set_weave_client_global(None)
    for executor in (client.future_executor, client.future_executor_fastlane):
        if executor is not None:
            executor._shutdown()
            atexit.unregister(executor._shutdown)
