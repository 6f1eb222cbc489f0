"""`agent-assets restore`: an installation from a backup, all of it or nothing."""

import os
import shutil
from pathlib import Path

from agent_assets.backup.files import check_files
from agent_assets.backup.save import AUTOMATION, HOME, STORE, BackupRecord, read_record
from agent_assets.errors import ConfigError
from agent_assets.privacy import private_folder
from agent_assets.settings import Settings
from agent_assets.store.disk import disk_errors


def restore_backup(settings: Settings, source: Path) -> BackupRecord:
    """Make home and store from a backup. Both must be empty or not there.

    Raises:
        ConfigError: it is no complete backup, or something is in the way.
        StoreError: a file of it was changed or is gone; nothing was restored.
        StoreFull: no space is left; nothing was restored.
    """
    source = source.expanduser().resolve()
    record = read_record(source)
    places = _places(settings, source, record)
    for target in places.values():
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(
                f"{target} is not empty.",
                next_step="move it away, or set AGENT_ASSETS_HOME (and AGENT_ASSETS_STORE) to "
                "another folder.",
            )
    check_files(source, record.files)
    made: dict[Path, Path] = {}
    try:
        for name, target in places.items():
            _copy(source / name, target, made)
        for target, partial in made.items():
            if target.exists():
                target.rmdir()
            partial.rename(target)
    finally:
        for partial in made.values():
            shutil.rmtree(partial, ignore_errors=True)
    private_folder(settings.home)
    return record


def _copy(source: Path, target: Path, made: dict[Path, Path]) -> None:
    """Copy one part beside its place, or into that of the part it belongs to: a store in a home."""
    outer = next((place for place in made if target.is_relative_to(place)), None)
    if outer is not None:
        partial = made[outer] / target.relative_to(outer)
    else:
        partial = target.with_name(f".{target.name}.restoring-{os.getpid()}")
        made[target] = partial
    with disk_errors(target.parent):
        partial.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, partial, dirs_exist_ok=True)


def saved_automation(source: Path) -> Path | None:
    """The automation settings in a backup; None without."""
    path = source.expanduser().resolve() / AUTOMATION
    return path if path.is_file() else None


def _places(settings: Settings, source: Path, record: BackupRecord) -> dict[str, Path]:
    """Where each part goes: a store inside the home after the home."""
    if record.store is not None and settings.store != record.store:
        raise ConfigError(
            f"This backup belongs to the store {record.store}.",
            next_step=f"set AGENT_ASSETS_STORE={record.store}",
        )
    places = {HOME: settings.home}
    if record.store is None and (source / STORE).is_dir():
        if "://" in settings.store:
            raise ConfigError(
                "This backup holds a local store.", next_step="unset AGENT_ASSETS_STORE."
            )
        places[STORE] = Path(settings.store)
    return places
