"""Looks at what nobody reports: the disk, and files that are damaged."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from agent_assets.alerts.config import AlertsConfig, Event
from agent_assets.alerts.outbox import Outbox
from agent_assets.release.pointer import damaged_releases
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.damage import files_set_aside


def free_bytes(settings: Settings) -> dict[str, int]:
    """Free space of home and store, where the store is on a disk of this machine."""
    places = {"home": settings.home}
    if "://" not in settings.store:
        places["store"] = Path(settings.store)
    return {name: shutil.disk_usage(_nearest(path)).free for name, path in places.items()}


def look(
    outbox: Outbox,
    config: AlertsConfig,
    settings: Settings,
    store: ArtifactStore,
    *,
    now: float,
    files: bool = True,
) -> None:
    """Notice too little free space, and damaged files that were not there before.

    Args:
        files: open every release pointer; of ten thousand that takes seconds.
    """
    for place, free in free_bytes(settings).items():
        if free >= config.min_free_gb * 2**30:
            outbox.over(Event.LOW_DISK, place)
            continue
        content = {
            "summary": f"Little space is left for the {place}.",
            "place": place,
            "free_bytes": free,
            "next_step": "agent-assets prune, or more disk",
        }
        notice(outbox, config, Event.LOW_DISK, place, content, now=now)
    if files:
        _look_at_files(outbox, config, settings, store, now)


def _look_at_files(
    outbox: Outbox, config: AlertsConfig, settings: Settings, store: ArtifactStore, now: float
) -> None:
    aside = files_set_aside(store, settings.home / "plan", settings.home / "alerts")
    damaged = [*map("/".join, damaged_releases(store)), *aside]
    if damaged:
        # Names hold ids of people: only how many there are is told.
        content = {
            "summary": "Files are damaged.",
            "count": len(damaged),
            "next_step": "agent-assets repair, then agent-assets doctor",
        }
        key = hashlib.sha256("\n".join(damaged).encode()).hexdigest()[:16]
        notice(outbox, config, Event.DAMAGED_FILE, key, content, now=now)


def notice(
    outbox: Outbox,
    config: AlertsConfig,
    event: Event,
    key: str,
    content: Mapping[str, object],
    *,
    now: float,
) -> None:
    """Put an event into the outbox as this configuration wants it."""
    outbox.notice(
        event,
        key,
        content,
        now=now,
        send=config.url is not None and event in config.events,
        again_s=config.repeat_hours * 3600,
    )


def _nearest(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not path.exists():
        path = path.parent
    return path
