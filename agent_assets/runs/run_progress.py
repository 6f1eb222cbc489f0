"""Progress of a run, read from what Dagster recorded: survives a restart of everything but the
database.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterEventType

_BATCH = 1000  # events that are read at a time


@dataclass
class RunEvents:
    """The events of one run, each read once."""

    run_id: str
    _cursor: str | None = None

    def read(self, instance: dg.DagsterInstance) -> Iterator[tuple[dg.DagsterEvent, float]]:
        """Those that came since the last call, with their times in seconds since 1970."""
        while True:
            batch = instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=_BATCH)
            for record in batch.records:
                if record.event_log_entry.dagster_event is not None:
                    yield record.event_log_entry.dagster_event, record.event_log_entry.timestamp
            self._cursor = batch.cursor
            if not batch.has_more:
                return


def stage_of(event: dg.DagsterEvent) -> str | None:
    """The asset whose step an event is about."""
    return event.step_key.split("__")[-1] if event.step_key else None


def reported(event: dg.DagsterEvent) -> dict[str, float | int | str]:
    """What a program reports in an observation: step, total_steps, loss, eta_seconds."""
    metadata = event.asset_observation_data.asset_observation.metadata
    return {
        name: value.value
        for name, value in metadata.items()
        if isinstance(value.value, int | float | str)
    }


@dataclass
class RunProgress:
    """Follows one run. `refresh` reads only the events that came since the last call.

    `stage` is the asset being made, `detail` the last report of its program. `outcomes` has
    ("built" or "reused", seconds) of every asset that is done.
    """

    run_id: str
    stage: str | None = None
    detail: dict[str, float | int | str] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._events = RunEvents(self.run_id)

    def refresh(self, instance: dg.DagsterInstance) -> None:
        """Read the new events of the run."""
        for event, _ in self._events.read(instance):
            self._apply(event)

    def _apply(self, event: dg.DagsterEvent) -> None:
        if event.event_type == DagsterEventType.STEP_START and event.step_key:
            self.stage, self.detail = stage_of(event), {}
        elif event.event_type == DagsterEventType.ASSET_OBSERVATION:
            self.detail = reported(event)
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            metadata = materialization.metadata
            if "outcome" in metadata and "seconds" in metadata:
                seconds = metadata["seconds"].value
                self.outcomes[materialization.asset_key.path[-1]] = (
                    str(metadata["outcome"].value),
                    float(seconds) if isinstance(seconds, int | float) else 0.0,
                )


def words(seconds: float) -> str:
    """A time that is left, in words."""
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes else f"{max(1, round(seconds))} s"
