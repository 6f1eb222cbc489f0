"""The processes of an installation for `faults.py`: found, named and chosen."""

import os
import random
import time
from pathlib import Path

import psutil

from agent_assets.settings import load_settings

KINDS = (
    "run worker",
    "engine",
    "daemon",
    "webserver",
    "API",
    "mongod",
    "up",
    "code server",
    "code",
    "supervisor",
)
# Whoever of these ends, `up` ends everything.
SERVICES = ("daemon", "webserver", "API", "mongod", "up", "code server", "code")


def processes_of(
    folder: Path, *, up: int | None = None, client: int | None = None
) -> list[psutil.Process]:
    """Every process that works for the installation in this folder: their variables, arguments or
    working directory name it.

    Args:
        up: process id of its `up`, which is one of them whoever started it.
        client: process id of a `refresh`, which is none of them, as are its children.
    """
    mark = str(folder).encode()
    others = {os.getpid()} | ({client} if client else set())
    processes = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in others:
            continue
        try:
            texts = [(entry / name).read_bytes() for name in ("environ", "cmdline")]
            where = str((entry / "cwd").readlink()).encode()
            process = psutil.Process(int(entry.name))
            of_client = bool(others & {parent.pid for parent in process.parents()[:1]})
            zombie = process.status() == psutil.STATUS_ZOMBIE
        except (OSError, psutil.NoSuchProcess):
            continue
        if zombie or not any(mark in text for text in (*texts, where)):
            continue
        if process.pid == up or not of_client:
            processes.append(process)
    return processes


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or only its parent has to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kind_of(process: psutil.Process) -> str:
    """What a process of an installation is, as `KINDS` names it; "other" for tool servers and the
    like.
    """
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return "gone"
    command = " ".join(words)
    patterns = {
        "agent_assets.engines.launch.supervisor": "supervisor",
        "keeper.py": "keeper",
        "mongod --dbpath": "mongod",
        "dagster-daemon run": "daemon",
        "code-server start": "code server",
        "dagster api grpc": "code",
        "agent-assets ui": "webserver",
        "agent-assets serve": "API",
        "main() up": "up",
        str(load_settings().engines): "engine",
        "multiprocessing.spawn": "run worker",
    }
    return next((kind for part, kind in patterns.items() if part in command), "other")


def choose(
    kinds: list[str], folder: Path, *, up: int | None, seconds: float
) -> tuple[str, psutil.Process]:
    """A process of the first of these kinds, or, when it has none for some time, of the next that
    has; the kind is taken off the list.
    """
    deadline = time.monotonic() + seconds
    while True:
        running = processes_of(folder, up=up)
        for kind in kinds:
            if victims := [process for process in running if kind_of(process) == kind]:
                kinds.remove(kind)
                return kind, random.choice(victims)
            if time.monotonic() < deadline:
                break
        time.sleep(0.1)
