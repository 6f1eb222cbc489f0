"""Why an engine failed, in words that hold no training data: its log may quote rows, an error never
does.
"""

import re
import shutil
import signal
from pathlib import Path

from agent_assets import errors
from agent_assets.engines.contracts import ReportedError
from agent_assets.errors import AgentAssetsError, EngineFailed, EngineOutOfMemory, StoreFull

_TAIL_BYTES = 256 * 1024
_FULL_BYTES = 1024 * 1024
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)$')
_EXCEPTION = re.compile(r"^(?P<type>[A-Za-z_][A-Za-z0-9_.]*)(:|$)")
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_NO_MEMORY = re.compile(
    r"\bMemoryError\b|OutOfMemoryError|CUDA out of memory|can't allocate memory", re.IGNORECASE
)


def read_tail(path: Path, limit: int = _TAIL_BYTES) -> str:
    """The end of a log, at most `limit` bytes; empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - limit))
        return log.read().decode("utf-8", errors="replace")


def failure(
    name: str, code: int, log_path: Path, reported: ReportedError | None, *, shown_log: Path
) -> AgentAssetsError:
    """The error for an engine that ended with `code`.

    Args:
        name: the program, as shown to the user.
        code: exit code, or minus the signal that ended it.
        log_path: its output.
        reported: the error that the program named itself, if it did.
        shown_log: where the user finds the log afterwards.
    """
    if reported is not None:
        return _reported_error(name, reported, shown_log)
    tail = read_tail(log_path)
    where = _crash_site(tail)
    if _NO_SPACE.search(tail) or shutil.disk_usage(log_path.parent).free < _FULL_BYTES:
        return StoreFull(
            f"{name} found no space left on the device.",
            next_step="free space or point AGENT_ASSETS_STORE elsewhere, then materialize again.",
        )
    if where is not None and _NO_MEMORY.search(tail.rpartition(_TRACEBACK)[2]):
        return EngineOutOfMemory(
            f"{name} ran out of memory: {where}.",
            next_step="lower the batch size or max_length of this stage, or free memory; log: "
            f"{shown_log}",
        )
    if code == -signal.SIGKILL:
        return EngineFailed(
            f"{name} was killed from outside (SIGKILL), most often by the kernel when memory runs "
            "out.",
            next_step="look for 'out of memory' in the kernel's log, free memory, and try "
            f"again; log: {shown_log}",
        )
    how = (
        f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    )
    return EngineFailed(
        f"{name} {how}" + (f": {where}." if where else "."), next_step=f"read the log {shown_log}"
    )


def _reported_error(name: str, reported: ReportedError, log: Path) -> AgentAssetsError:
    kind = getattr(errors, reported.type, None)
    error = kind if isinstance(kind, type) and issubclass(kind, AgentAssetsError) else EngineFailed
    return error(
        f"{name}: {reported.message}", next_step=reported.next_step or f"read the log {log}"
    )


def _crash_site(tail: str) -> str | None:
    """Exception type and place of the last traceback, without its message, which may quote data."""
    _, marker, trace = tail.rpartition(_TRACEBACK)
    if not marker:
        return None
    place = None
    for line in trace.splitlines()[1:]:
        frame = _FRAME.match(line)
        if frame:
            place = (
                f"{'/'.join(Path(frame['file']).parts[-3:])} line "
                f"{frame['line']} "
                f"({frame['function']})"
            )
        elif line and not line[0].isspace():
            kind = _EXCEPTION.match(line)
            return f"{kind['type'] if kind else 'error'} at {place}" if place else None
    return None
