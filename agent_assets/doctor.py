"""`agent-assets doctor`: what this installation has, what it lacks, and the command that fixes it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from agent_assets.errors import AgentAssetsError
from agent_assets.settings import Settings

_ROOM_BYTES = 10 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `fix` is a command or an action; an optional thing may be absent."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    optional: bool = False


def examine(settings: Settings) -> list[Finding]:
    """Look at everything a run needs. Changes nothing."""
    return [_engine_cpu(settings), _engine_gpu(settings), _gpu(), _mongo(settings), _pipelines(), _room(settings)]


def _engine_cpu(settings: Settings) -> Finding:
    return _engine(settings, "cpu", optional=False)


def _engine_gpu(settings: Settings) -> Finding:
    return _engine(settings, "gpu", optional=True)


def _engine(settings: Settings, name: str, *, optional: bool) -> Finding:
    from agent_assets.engines.environment import find_engine_env

    try:
        env = find_engine_env(name, settings.engines)
    except AgentAssetsError as error:
        return Finding(f"engine {name}", False, error.message, "make setup", optional)
    return Finding(f"engine {name}", True, str(env.python.parent.parent))


def _gpu() -> Finding:
    from agent_assets.engines.gpu import device_name

    name = device_name()
    return Finding("GPU", name != "cpu", name if name != "cpu" else "none: GPU stages run on the CPU", optional=True)


def _mongo(settings: Settings) -> Finding:
    if settings.mongodb_uri:
        from resources.mongo_retry import ping

        try:
            ping(settings.mongodb_uri)
        except AgentAssetsError as error:
            return Finding("MongoDB", False, error.message, error.next_step or "")
        return Finding("MongoDB", True, "MONGODB_URI answers")
    from resources.mongod import find_mongod

    try:
        return Finding("MongoDB", True, f"embedded, {find_mongod()}")
    except AgentAssetsError as error:
        return Finding("MongoDB", False, error.message, error.next_step or "")


def _pipelines() -> Finding:
    from agent_assets.definitions import defs

    names = sorted({key.path[0] for key in defs().get_repository_def().assets_defs_by_key})
    return Finding("pipelines", bool(names), ", ".join(names), "add a folder with a defs.yaml below agent_assets/defs")


def _room(settings: Settings) -> Finding:
    if "://" in settings.store:
        return Finding("store", True, settings.store)
    folder = Path(settings.store)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{settings.store}, {free / 2**30:.0f} GiB free"
    return Finding("store", free >= _ROOM_BYTES, detail, "free at least 10 GiB or set AGENT_ASSETS_STORE")
