"""Ticks that lie in the future: the clock was ahead when a schedule or a sensor made them.

Dagster counts from the last tick. Without this it would not tick again before the time of that one
has come, a day later for a clock that was a day ahead.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dagster as dg

_APART_SECONDS = 60.0  # clocks of hosts that share a database


def bring_ticks_back(
    instance: dg.DagsterInstance, now: float, report: Callable[[str], None]
) -> None:
    """Date the last ticks that are ahead of `now` (seconds since 1970) as of now.

    Args:
        report: told about each schedule and sensor that had one.
    """
    for state in instance.all_instigator_state():
        ahead = False
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
            if tick.timestamp > now + _APART_SECONDS:
                ahead = True
                instance.update_tick(
                    tick._replace(tick_data=tick.tick_data._replace(timestamp=now))
                )
        data = state.instigator_data
        fields = {} if data is None else data._asdict()
        if data is not None and (names := _names_ahead(fields, now)):
            ahead = True
            fields.update(dict.fromkeys(names, now))
            instance.update_instigator_state(state.with_data(data._replace(**fields)))
        if ahead:
            report(
                f"{state.instigator_name}: its last tick lies in the future, and counts as one of "
                "now"
            )


def _names_ahead(fields: Mapping[str, object], now: float) -> list[str]:
    """The fields that hold a time in the future."""
    return [
        name
        for name, value in fields.items()
        if name.endswith("_timestamp")
        and isinstance(value, int | float)
        and value > now + _APART_SECONDS
    ]


@dataclass
class ClockWatch:
    """Notices that the clock of this machine was set back."""

    _offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    def was_set_back(self) -> bool:
        """Whether it was, by more than a minute, since the last call."""
        before, self._offset = self._offset, time.time() - time.monotonic()
        return self._offset < before - _APART_SECONDS
