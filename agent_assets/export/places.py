"""Where exports lie, and the folders in which they are made."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_assets.errors import ExportError
from agent_assets.export.released import ReleasedModel
from agent_assets.store.disk import disk_errors, in_use

EXPORTS = "exports"
_IMPORTED = "imported"


def default_folder(home: Path, released: ReleasedModel) -> Path:
    """Where exports of an agent lie in the home, where an erasure finds them."""
    return home / EXPORTS / released.agent[0] / released.agent[1]


def import_folder(home: Path, name: str) -> Path:
    """Where an imported bundle lies in the home."""
    return home / EXPORTS / _IMPORTED / name


def scratch_folders(home: Path) -> list[Path]:
    """Folders in the home in which exports are made, or were when a process was killed."""
    exports = home / EXPORTS
    hidden = [*exports.glob("*/*/.*"), *exports.glob(f"{_IMPORTED}/.*")]
    return sorted(path for path in hidden if path.is_dir())


@contextmanager
def new_export_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends well, and goes when not.

    Raises:
        ExportError: `target` is there already.
    """
    with scratch_folder(target) as partial:
        yield partial
        partial.rename(target)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to make it in, which goes when the block ends.

    Raises:
        ExportError: `target` is there already.
    """
    refuse_existing(target)
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            with in_use(partial):
                yield partial
        finally:
            if partial.exists():
                shutil.rmtree(partial)


def refuse_existing(target: Path) -> None:
    """See that nothing is overwritten.

    Raises:
        ExportError: there is something.
    """
    if target.exists() or target.is_symlink():
        raise ExportError(
            f"{target} is there already.",
            next_step="remove it, or name another place with --out.",
        )
