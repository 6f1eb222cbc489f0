"""Runs started from a terminal: in this process, one after the other, with their progress shown as they go."""

import re
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent_assets.abandoned import process_tag
from agent_assets.progress import RunProgress

# One event, one line, however wide the terminal. A log has room for whole tables.
console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
_OWN_CLASS = re.compile(r"^agent_assets\.errors\.\w+: ")


@dataclass(frozen=True)
class Outcome:
    """What one run did: per stage "built" or "reused" and seconds; stages skipped; why it failed, if it did."""

    pipeline: str
    partition: str | None
    stages: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    failed: str | None = None

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.partition}" if self.partition else self.pipeline

    @property
    def built(self) -> int:
        """Artifacts built."""
        return sum(kind == "built" for kind, _ in self.stages.values())


def execute_run(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    *,
    pipeline: str,
    partition: str | None,
    assets: Iterable[str],
    tags: Mapping[str, str],
) -> Outcome:
    """Materialize assets of one agent as one run. A failure is part of the outcome, not an exception.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the run, so it ends the command, too.
    """
    # Pipes' message readers are a preview in this Dagster version; the version is pinned.
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    names = sorted(assets)
    run_id = str(uuid.uuid4())
    progress = RunProgress(run_id)
    label = f"{pipeline}/{partition}" if partition else pipeline
    with _shown(instance, label, progress):
        result = definitions.resolve_job_def(f"{pipeline}_job").execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=partition,
            asset_selection=[dg.AssetKey([pipeline, name]) for name in names],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={**tags, **process_tag()},
        )
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    if any(error is not None and error.cls_name == "DagsterExecutionInterruptedError" for error in failures):
        raise KeyboardInterrupt
    failed = None
    if not result.success:
        failed = "; ".join(_message(error) for error in failures if error is not None) or "failed"
        console.print(f"{label}: {failed}", style="red")
    skipped = tuple(name for name in names if name not in progress.outcomes) if failed is None else ()
    return Outcome(pipeline, partition, dict(progress.outcomes), skipped, failed)


def summary_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Counts over all runs, and each failure."""
    done = list(outcomes)
    built = sum(outcome.built for outcome in done)
    reused = sum(len(outcome.stages) for outcome in done) - built
    skipped = sum(len(outcome.skipped) for outcome in done)
    failed = [outcome for outcome in done if outcome.failed]
    counts = f"{built} artifacts built, {reused} reused, {skipped} skipped"
    lines = [f"{len(done)} runs: {counts}; {len(failed)} runs failed"]
    return lines + [f"  failed: {outcome}: {outcome.failed}" for outcome in failed]


def _message(error: Any) -> str:
    """The innermost message of a step's failure: ours says what to do next."""
    while error.cause is not None:
        error = error.cause
    return _OWN_CLASS.sub("", str(error.message).strip())


@contextmanager
def _shown(instance: dg.DagsterInstance, label: str, progress: RunProgress) -> Iterator[None]:
    """Show the progress of a run while the block executes it: one live line on a terminal, plain lines elsewhere."""
    done = threading.Event()
    started = time.monotonic()

    def follow() -> None:
        last = ""
        with Live(Text(""), console=console, refresh_per_second=4, transient=True) as live:
            while not done.wait(0.5):
                progress.refresh(instance)
                line = _line(label, progress)
                live.update(Text(f"{line}   {time.monotonic() - started:.0f} s"))
                if not console.is_terminal and line != last:
                    console.print(line)
                last = line

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        progress.refresh(instance)
        words = [
            f"{name} {kind}" + (f" {seconds:.0f} s" if kind == "built" else "")
            for name, (kind, seconds) in progress.outcomes.items()
        ]
        console.print(f"{label}: {', '.join(words) or 'nothing to do'}")


def _line(label: str, progress: RunProgress) -> str:
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
