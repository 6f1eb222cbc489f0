"""Keeps other users of this machine out: modes of files and folders, secrets in files, places for
sockets.

root can read everything all the same, and so can programs of the same user.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from agent_assets.errors import ConfigError
from agent_assets.settings import Settings, runtime_folder

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LONGEST_SOCKET = 107  # bytes of `sun_path` before its NUL
_LONGEST_NAME = len("/code-server.sock")
_SECRET_BYTES = 32


def be_private() -> None:
    """Let this process and its children make files that only their user can read (umask 077)."""
    os.umask(0o077)


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, and close it where it is open to others. One
    that belongs to another user stays as it is: a mounted volume, which `exposures` names.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    info = path.stat()
    if info.st_mode & _OTHERS and info.st_uid == os.getuid():
        path.chmod(0o700)
    return path


def make_home(settings: Settings) -> None:
    """Make the folder of this installation's state, closed to other users, and see that files can
    be written there.

    Raises:
        ConfigError: they cannot.
    """
    try:
        private_folder(settings.home)
        with TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise ConfigError(
            f"{settings.home} cannot hold the state of this installation: {error.strerror}.",
            next_step="set AGENT_ASSETS_HOME to a folder you may write to.",
        ) from error


def secret_file(path: Path) -> str:
    """The secret in a file of mode 600: random hex digits, made by the first caller.

    Raises:
        ConfigError: others may read the file, or it is empty.
    """
    if not path.exists():
        private_folder(path.parent)
        partial = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(partial)  # fails where another was first, and is never half written
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    if path.stat().st_mode & _OTHERS:
        raise ConfigError(
            f"{path} holds a secret, and other users of this machine may read it.",
            next_step=f"remove it, so that another one is made: rm {path}",
        )
    secret = path.read_text(encoding="ascii").strip()
    if not secret:
        raise ConfigError(
            f"{path} is empty.", next_step=f"remove it, so that another one is made: rm {path}"
        )
    return secret


def socket_folder(folder: Path) -> Path:
    """Where sockets of a private folder lie: in it, or, where its path is too long for one (107
    bytes), in a short private folder that belongs to it.

    Raises:
        ConfigError: the short folder is there, and another user's.
    """
    folder = folder.resolve()
    if len(os.fsencode(folder)) + _LONGEST_NAME <= _LONGEST_SOCKET:
        return private_folder(folder)
    base = _runtime_folder()
    short = (
        base / f"agent-assets-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    )
    try:
        short.mkdir(mode=0o700)
    except FileExistsError:
        info = short.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & _OTHERS:
            raise ConfigError(
                f"{short} is to hold sockets, and belongs to somebody else or is open to others.",
                next_step="remove it, or set AGENT_ASSETS_HOME to a folder with a shorter path.",
            ) from None
    return short


def _runtime_folder() -> Path:
    """XDG_RUNTIME_DIR where it is ours alone, else /tmp: TMPDIR may be as long as the path that did
    not fit.
    """
    folder = runtime_folder()
    try:
        info = folder.stat()
    except OSError:
        return Path("/tmp")
    private = (
        info.st_uid == os.getuid() and not info.st_mode & _OTHERS and len(os.fsencode(folder)) <= 40
    )
    return folder if private else Path("/tmp")


@dataclass(frozen=True)
class Exposure:
    """A file or folder of an installation that others of this machine may read, write or enter."""

    path: Path
    mode: int

    def __str__(self) -> str:
        return f"{self.path} (mode {self.mode:03o})"


def exposures(home: Path) -> list[Exposure]:
    """What others could reach in a home: its folder, what lies in its first two levels, and
    Dagster's databases. A closed home hides all that is below it; what is below is closed, too,
    lest a copy or a moved folder shows it.
    """
    modes = [(path, _mode(path)) for path in _first_levels(home)]
    return [Exposure(path, mode) for path, mode in modes if mode & _OTHERS]


def close_home(home: Path) -> list[Exposure]:
    """Take every right of others away from what `exposures` finds and is ours, and return it as it
    was found.
    """
    closed = []
    for exposure in exposures(home):
        with suppress(FileNotFoundError):  # of a process that works in the home, and gone by now
            if exposure.path.lstat().st_uid == os.getuid():
                exposure.path.chmod(exposure.mode & ~_OTHERS)
                closed.append(exposure)
    return closed


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except FileNotFoundError:  # of a process that works in the home, and gone by now
        return 0


def _first_levels(home: Path) -> Iterator[Path]:
    if not home.is_dir():
        return
    yield home
    for pattern in ("*", "*/*", "dagster/*/*"):
        yield from (
            p
            for p in sorted(home.glob(pattern))
            if not p.is_symlink() and (p.is_dir() or p.is_file())
        )
