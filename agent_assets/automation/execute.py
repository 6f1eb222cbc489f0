"""Runs started from a terminal: what one is, what came of it, and its progress; executed in this
process.
"""

import re
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import dagster as dg
from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent_assets.runs.orphans import process_tag
from agent_assets.runs.run_progress import RunProgress

# One event, one line, however wide the terminal. A log has room for whole tables.
console = Console(
    highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 180
)
_LOOK_SECONDS = 1.0
_INTERRUPTED = "DagsterExecutionInterruptedError"
_OWN_CLASS = re.compile(r"^agent_assets\.errors\.\w+: ")


@dataclass(frozen=True)
class Order:
    """A run to make: assets of one agent, and its tags."""

    pipeline: str
    partition: str | None
    assets: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def label(self) -> str:
        """Name of the agent."""
        return f"{self.pipeline}/{self.partition}" if self.partition else self.pipeline


@dataclass(frozen=True)
class RunOutcome:
    """What one run did: per stage "built" or "reused" and seconds; stages skipped; why it failed,
    if it did.
    """

    pipeline: str
    partition: str | None
    stages: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    failed: str | None = None

    @classmethod
    def of(cls, order: Order, progress: RunProgress, failed: str | None) -> Self:
        """The outcome of a run whose events were all read."""
        skipped = (
            tuple(name for name in order.assets if name not in progress.outcomes)
            if failed is None
            else ()
        )
        return cls(order.pipeline, order.partition, dict(progress.outcomes), skipped, failed)

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.partition}" if self.partition else self.pipeline

    @property
    def built(self) -> int:
        """Artifacts built."""
        return sum(kind == "built" for kind, _ in self.stages.values())


def execute_here(
    instance: dg.DagsterInstance, definitions: dg.Definitions, order: Order
) -> RunOutcome:
    """Execute one run in this process. A failure is part of the outcome, not an exception.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the run, which is cancelled, so it ends the command, too.
    """
    # Pipes' message readers are a preview in this Dagster version; the version is pinned.
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    run_id = str(uuid.uuid4())
    progress = RunProgress(run_id)
    with _shown(instance, order.label, progress):
        result = definitions.resolve_job_def(f"{order.pipeline}_job").execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=order.partition,
            asset_selection=[dg.AssetKey([order.pipeline, name]) for name in sorted(order.assets)],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={**order.tags, **process_tag(run_id)},
        )
    progress.refresh(instance)
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    if any(error is not None and error.cls_name == _INTERRUPTED for error in errors):
        # Without a request to end it, Dagster takes an interrupted run for one that failed.
        run = instance.get_run_by_id(run_id)
        if run is not None:
            instance.report_run_canceled(run, "Cancelled with Ctrl-C.")
        raise KeyboardInterrupt
    outcome = RunOutcome.of(order, progress, None if result.success else failure_message(errors))
    report_outcome(outcome)
    return outcome


def failure_message(errors: Sequence[Any]) -> str:
    """The innermost message of each failed step: ours says what to do next."""
    innermost = [_innermost(error) for error in errors if error is not None]
    return (
        "; ".join(_OWN_CLASS.sub("", str(error.message).strip()) for error in innermost) or "failed"
    )


def _innermost(error: Any) -> Any:
    return error if error.cause is None else _innermost(error.cause)


def report_outcome(outcome: RunOutcome) -> None:
    """One line about a run that ended."""
    words = [
        f"{name} {kind}" + (f" {seconds:.0f} s" if kind == "built" else "")
        for name, (kind, seconds) in outcome.stages.items()
    ]
    if outcome.failed:
        console.print(f"{outcome}: {outcome.failed}", style="red")
    else:
        console.print(f"{outcome}: {', '.join(words) or 'nothing to do'}")


def summary_lines(outcomes: Iterable[RunOutcome]) -> list[str]:
    """Counts over all runs, and each failure."""
    done = list(outcomes)
    built = sum(outcome.built for outcome in done)
    reused = sum(len(outcome.stages) for outcome in done) - built
    skipped = sum(len(outcome.skipped) for outcome in done)
    failed = [outcome for outcome in done if outcome.failed]
    counts = f"{built} artifacts built, {reused} reused, {skipped} skipped"
    lines = [f"{len(done)} runs: {counts}; {len(failed)} runs failed"]
    return lines + [f"  failed: {outcome}: {outcome.failed}" for outcome in failed]


@contextmanager
def show_lines() -> Iterator[Callable[[list[str]], None]]:
    """A function that shows lines which change: in place on a terminal, elsewhere only those that
    are new.
    """
    last: list[str] = []
    with Live(Text(""), console=console, refresh_per_second=1, transient=True) as live:

        def show(lines: list[str]) -> None:
            live.update(Text("\n".join(lines)))
            if not console.is_terminal:
                for line in lines:
                    if line not in last:
                        console.print(line)
            last[:] = lines

        yield show


@contextmanager
def _shown(instance: dg.DagsterInstance, label: str, progress: RunProgress) -> Iterator[None]:
    """Show the progress of a run while the block executes it."""
    done = threading.Event()
    started = time.monotonic()

    def follow() -> None:
        with show_lines() as show:
            while not done.wait(_LOOK_SECONDS):
                progress.refresh(instance)
                passed = f"   {time.monotonic() - started:.0f} s" if console.is_terminal else ""
                show([progress_line(label, progress) + passed])

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def progress_line(label: str, progress: RunProgress) -> str:
    """Where a run is: stage, step, loss, time left."""
    detail = progress.detail
    parts = [f"{label}: {progress.stage or 'starting'}"]
    if detail.get("stage"):
        parts.append(str(detail["stage"]))
    if detail.get("total_steps"):
        parts.append(f"step {detail.get('step', 0)}/{detail['total_steps']}")
    if isinstance(loss := detail.get("loss"), float):
        parts.append(f"loss {loss:.3f}")
    if isinstance(left := detail.get("eta_seconds"), int | float):
        parts.append(f"{left:.0f} s left")
    return "  ".join(parts)
