"""The journal of an erasure: what was asked, and how far it came. `<home>/erasure/pending/`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_assets.erasure.receipts import Found, replace_json
from agent_assets.erasure.request import ErasureRequest
from agent_assets.errors import ReceiptError
from agent_assets.store.disk import file_lock


class Progress(BaseModel):
    """How far an erasure came: what was found, by place, before it was removed."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    request: ErasureRequest
    found: dict[str, Found] = Field(default_factory=dict)
    done: list[str] = Field(default_factory=list)
    out_of_reach: dict[str, list[str]] = Field(default_factory=dict)


class ErasureJournal:
    """The erasures of one installation that are not finished."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "erasure" / "pending"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One erasure at a time; whoever comes second waits."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file_lock(self._folder.parent / "erasure.lock"):
            yield

    def pending(self) -> list[Progress]:
        """Erasures that were begun, the first first.

        Raises:
            ReceiptError: a file of the journal cannot be read.
        """
        progress = [self._read(path) for path in self._folder.glob("*.json")]
        return sorted(progress, key=lambda entry: entry.request.started_at)

    def write(self, progress: Progress) -> None:
        """Keep how far it came, in one step."""
        replace_json(self._path(progress), progress)

    def finish(self, progress: Progress) -> None:
        """Forget an erasure that is finished: the journal names whom it was about."""
        self._path(progress).with_suffix(".partial").unlink(missing_ok=True)
        self._path(progress).unlink(missing_ok=True)

    def _path(self, progress: Progress) -> Path:
        return self._folder / f"{progress.request.id}.json"

    def _read(self, path: Path) -> Progress:
        try:
            return Progress.model_validate_json(path.read_bytes())
        except ValidationError:
            raise ReceiptError(
                f"{path} says what is to be erased, and cannot be read.",
                next_step="erase again whom it was about, then remove the file.",
            ) from None
