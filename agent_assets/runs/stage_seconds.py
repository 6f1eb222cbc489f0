"""How long the stages of a pipeline took lately, from what Dagster recorded of them."""

import statistics
import time
from collections.abc import Iterable

import dagster as dg

_RECENT = 20  # builds of a stage that count
_KEPT_SECONDS = 300.0  # reading them takes longer than reading one run, and progress is polled


class StageSeconds:
    """The median time of recent builds by stage; what was reused does not count. A stage that was
    never built here is not in it: nothing is known of it.
    """

    def __init__(self) -> None:
        self._known: dict[dg.AssetKey, tuple[float, float | None]] = {}

    def of(self, instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> dict[str, float]:
        """Seconds by the name of the stage."""
        known = {key.path[-1]: self._seconds(instance, key) for key in keys}
        return {stage: seconds for stage, seconds in known.items() if seconds is not None}

    def _seconds(self, instance: dg.DagsterInstance, key: dg.AssetKey) -> float | None:
        at, seconds = self._known.get(key, (float("-inf"), None))
        if time.monotonic() - at > _KEPT_SECONDS:
            seconds = _median(instance, key)
            self._known[key] = time.monotonic(), seconds
        return seconds


def _median(instance: dg.DagsterInstance, key: dg.AssetKey) -> float | None:
    """Of the latest builds on the device that the last one ran on: another is not as fast."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key), limit=_RECENT
    ).records
    built: list[tuple[object, float]] = []
    for record in records:
        if record.asset_materialization is None:
            continue
        values = {
            name: value.value for name, value in record.asset_materialization.metadata.items()
        }
        seconds = values.get("seconds")
        if values.get("outcome") == "built" and isinstance(seconds, int | float):
            built.append((values.get("device"), float(seconds)))
    same = [seconds for device, seconds in built if device == built[0][0]]
    return statistics.median(same) if same else None
