"""Traces on this machine, in the terminal: which there are, and one of them step by step.

What is shown holds memory text: it goes to the terminal of whoever asks, and nowhere else.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from agent_assets.agent.trace_store import Call, list_traces, read_trace
from agent_assets.errors import ConfigError, StoreError
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.erasable_data import trace_files
from agent_assets.store.partition_keys import as_partition_key


def show_traces(
    settings: Settings, trace_id: str | None, *, elder: str | None, pipeline: str | None, limit: int
) -> None:
    """List the latest traces, or show the one whose id starts with `trace_id`.

    Raises:
        ConfigError: the id belongs to no trace, or to several.
        StoreError: traces go to W&B.
    """
    if settings.wandb_project is not None:
        raise StoreError(
            f"Traces go to W&B, project {settings.wandb_project}.",
            next_step="look there, or unset TRACES to see the traces of this machine.",
        )
    store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
    partition = None if elder is None else as_partition_key(elder)
    files = [
        path
        for path in trace_files(store, partition=partition)
        if pipeline in (None, path.parent.name)
    ]
    if trace_id is not None:
        _show_one(files, trace_id)
        return
    lines = sorted(
        ((line, path) for path in files for line in list_traces(path)),
        key=lambda pair: pair[0].started_at,
    )
    for line, path in lines[-limit:]:
        agent = path.parent.name + ("" if path.stem == "_" else f"/{path.stem}")
        failed = f", {line.failed} failed" if line.failed else ""
        started = line.started_at[:19].replace("T", " ")
        click.echo(
            f"{line.trace_id}  {started}  {agent:<32} {line.kind:<11} {line.steps} steps{failed}"
        )
    if not lines:
        click.echo("No traces. A materialization of eval_report writes some.", err=True)


def _show_one(files: list[Path], trace_id: str) -> None:
    calls = [call for path in files for call in read_trace(path, trace_id)]
    trace_ids = sorted({call.trace_id for call in calls})
    if len(trace_ids) != 1:
        what = (
            f"{len(trace_ids)} traces have ids that start"
            if trace_ids
            else "No trace has an id that starts"
        )
        raise ConfigError(
            f"{what} with {trace_id[:40]!r}.", next_step="`agent-assets traces` lists them."
        )
    for depth, call in _tree(calls, None, 0):
        seconds = "" if call.ended_at is None else f" {_seconds(call):.2f} s"
        failed = (
            "" if call.exception is None else "  FAILED " + call.exception.strip().splitlines()[-1]
        )
        click.echo(f"{'  ' * depth}{call.kind}{seconds}{failed}")
        for name, value in (("in", call.inputs), ("out", call.output)):
            if value:
                click.echo(f"{'  ' * depth}  {name:<4}{_one_line(value)}")


def _tree(calls: list[Call], parent: str | None, depth: int) -> Iterator[tuple[int, Call]]:
    for call in calls:
        if call.parent_id == parent:
            yield depth, call
            yield from _tree(calls, call.id, depth + 1)


def _seconds(call: Call) -> float:
    return (
        datetime.fromisoformat(str(call.ended_at)) - datetime.fromisoformat(call.started_at)
    ).total_seconds()


def _one_line(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 2_000 else f"{text[:2_000]} … {len(text) - 2_000} more characters"
