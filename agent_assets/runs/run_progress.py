"""Progress of a run, read from what Dagster recorded: survives a restart of everything but the
database.
"""

from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterEventType


@dataclass
class RunProgress:
    """Follows one run. `refresh` reads only the events that came since the last call.

    `stage` is the asset being made, `detail` the last report of its program: step, total_steps,
    loss, eta_seconds. `outcomes` has ("built" or "reused", seconds) of every asset that is done.
    """

    run_id: str
    stage: str | None = None
    detail: dict[str, float | int | str] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, float]] = field(default_factory=dict)
    _cursor: str | None = None

    def refresh(self, instance: dg.DagsterInstance) -> None:
        """Read the new events of the run."""
        while True:
            batch = instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=200)
            for record in batch.records:
                event = record.event_log_entry.dagster_event
                if event is not None:
                    self._apply(event)
            self._cursor = batch.cursor
            if not batch.has_more:
                return

    def _apply(self, event: dg.DagsterEvent) -> None:
        if event.event_type == DagsterEventType.STEP_START and event.step_key:
            self.stage, self.detail = event.step_key.split("__")[-1], {}
        elif event.event_type == DagsterEventType.ASSET_OBSERVATION:
            observation = event.asset_observation_data.asset_observation
            self.detail = {
                name: value.value
                for name, value in observation.metadata.items()
                if isinstance(value.value, int | float | str)
            }
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
