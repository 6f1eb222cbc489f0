"""Metrics of the installation beside those of requests: disk, damage, events, alerts, backups."""

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent_assets.alerts.outbox import NOTICED, Outbox
from agent_assets.alerts.watch import free_bytes
from agent_assets.backup.record import last_backup
from agent_assets.errors import StoreError
from agent_assets.release.pointer import released_agents
from agent_assets.serving.released import Released
from agent_assets.settings import Settings
from agent_assets.store.damage import files_set_aside


class Operations(Collector):
    """Reads everything anew at each scrape, in the thread that asks.

    Args:
        states: of the dependencies, by name (`ok` or what is wrong), as `/health` last saw them.
    """

    def __init__(
        self, settings: Settings, released: Released, states: Callable[[], Mapping[str, str]]
    ) -> None:
        self._settings, self._released, self._states = settings, released, states

    def collect(self) -> Iterable[Metric]:
        """All metrics; what cannot be read is left out, and `dependency_up` says why."""
        up = GaugeMetricFamily(
            "agent_assets_dependency_up", "1 where it answers.", labels=("name",)
        )
        for name, state in self._states().items():
            up.add_metric((name,), float(state == "ok"))
        yield up
        free = GaugeMetricFamily("agent_assets_disk_free_bytes", "Free space.", labels=("place",))
        for place, free_here in free_bytes(self._settings).items():
            free.add_metric((place,), free_here)
        yield free
        backup = last_backup(self._settings.home)
        if backup is not None:
            yield GaugeMetricFamily(
                "agent_assets_backup_age_seconds",
                "Since the last backup ended.",
                value=max(0.0, time.time() - backup),
            )
        try:
            yield from self._of_store()
            yield from self._of_alerts()
        except (OSError, StoreError):
            return

    def _of_store(self) -> Iterable[Metric]:
        aside = files_set_aside(self._released.store, self._settings.home / "plan")
        yield GaugeMetricFamily(
            "agent_assets_released_agents",
            "Agents with a release.",
            value=len(released_agents(self._released.store)),
        )
        yield GaugeMetricFamily(
            "agent_assets_damaged_releases",
            "Released agents that cannot answer, as far as somebody asked.",
            value=len(self._released.damaged),
        )
        yield GaugeMetricFamily(
            "agent_assets_set_aside", "Damaged files and artifacts set aside.", value=len(aside)
        )

    def _of_alerts(self) -> Iterable[Metric]:
        outbox = Outbox(self._settings.home)
        events = CounterMetricFamily(
            "agent_assets_events", "Noticed, whether sent or not.", labels=("event",)
        )
        alerts = CounterMetricFamily(
            "agent_assets_alerts", "Alerts by what became of them.", labels=("event", "result")
        )
        for (event, result), number in sorted(outbox.counts().items()):
            if result == NOTICED:
                events.add_metric((event,), number)
            else:
                alerts.add_metric((event, result), number)
        yield events
        yield alerts
        yield GaugeMetricFamily(
            "agent_assets_alerts_waiting", "Alerts to be sent.", value=outbox.waiting()
        )
