"""When this installation was last saved."""

import json
from pathlib import Path

_FILE = "last-backup.json"


def last_backup(home: Path) -> float | None:
    """Seconds since 1970; None where there never was a backup, or nobody knows."""
    try:
        return float(json.loads((home / _FILE).read_bytes())["at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def note_backup(home: Path, at: float) -> None:
    """Note that a backup ended."""
    (home / _FILE).write_text(json.dumps({"at": at}), encoding="ascii")
