"""`agent-assets doctor`: what this installation has, what it lacks, and the command that fixes
it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

from agent_assets.cli.doctor.answers import examine_answers
from agent_assets.cli.doctor.privacy import examine_privacy
from agent_assets.cli.finding import Finding
from agent_assets.cli.mcp_servers import examine_tools
from agent_assets.errors import AgentAssetsError
from agent_assets.settings import Settings

_ROOM_BYTES = 10 * 2**30


def examine(settings: Settings) -> list[Finding]:
    """Look at everything a run needs. Changes nothing."""
    findings = [*_engines(settings), _mongo(settings), *examine_answers(settings)]
    findings += [_pipelines(), *examine_tools(), *_other_files(settings)]
    findings += [_home(settings), _store(settings), *_damaged(settings)]
    return [*findings, *examine_privacy(settings)]


def _engines(settings: Settings) -> list[Finding]:
    """The GPU, and the engine environments: the one that GPU stages run in here has to be there."""
    from agent_assets.engines.devices.gpu import device_name
    from agent_assets.engines.environment import ENGINE_NAMES

    try:
        gpu = device_name()
    except AgentAssetsError as error:
        needed = "gpu" if settings.device == "auto" else settings.device
        finding = Finding(
            "GPU", False, error.message, error.next_step or "", optional=needed == "cpu"
        )
        return [
            finding,
            *(_engine(settings, name, optional=name != needed) for name in ENGINE_NAMES),
        ]
    needed = settings.device if settings.device != "auto" else "cpu" if gpu == "cpu" else "gpu"
    finding = Finding(
        "GPU",
        gpu != "cpu",
        "none: GPU stages run on the CPU" if needed == "cpu" else gpu.replace("cpu", "none"),
        "check `nvidia-smi`, or set AGENT_ASSETS_DEVICE to auto or cpu",
        optional=needed == "cpu",
    )
    return [finding, *(_engine(settings, name, optional=name != needed) for name in ENGINE_NAMES)]


def _engine(settings: Settings, name: str, *, optional: bool) -> Finding:
    from agent_assets.engines.environment import find_engine_env, missing_packages

    title = f"engine {name}"
    try:
        env = find_engine_env(name, settings.engines)
    except AgentAssetsError as error:
        why = "not needed on this machine" if optional else error.message
        fix = "" if optional else f"agent-assets setup {name}"
        return Finding(title, False, why, fix, optional)
    folder = env.python.parent.parent
    if missing := missing_packages(env):
        return Finding(
            title,
            False,
            f"{folder} lacks {', '.join(missing)}",
            f"rm -r {folder} && agent-assets setup {name}",
            optional,
        )
    return Finding(title, True, str(folder))


def _mongo(settings: Settings) -> Finding:
    if settings.mongodb_uri:
        from agent_assets.mongo.retry import ping

        try:
            ping(settings.mongodb_uri)
        except AgentAssetsError as error:
            return Finding("MongoDB", False, error.message, error.next_step or "")
        return Finding("MongoDB", True, "MONGODB_URI answers")
    from agent_assets.mongo.embedded.mongod import find_mongod

    try:
        return Finding("MongoDB", True, f"embedded, {find_mongod()}")
    except AgentAssetsError as error:
        return Finding("MongoDB", False, error.message, error.next_step or "")


def _pipelines() -> Finding:
    from agent_assets.automation.pipelines import load_graphs

    try:
        names = [graph.name for graph in load_graphs()]
    except AgentAssetsError as error:
        return Finding("pipelines", False, error.message, error.next_step or "")
    return Finding(
        "pipelines",
        bool(names),
        ", ".join(names),
        "add a folder with a defs.yaml below the project's defs: see docs/projects.md",
    )


def _other_files(settings: Settings) -> Iterator[Finding]:
    from agent_assets.automation.config import load_automation
    from agent_assets.serving_settings import load_serving

    for name, read in (
        ("automation", lambda: load_automation(settings.automation)),
        ("serving", load_serving),
    ):
        try:
            read()
        except AgentAssetsError as error:
            yield Finding(name, False, error.message, error.next_step or "")


def _damaged(settings: Settings) -> Iterator[Finding]:
    """Releases of which a file is lost or damaged, and what was set aside."""
    from agent_assets.release.commands import open_store
    from agent_assets.release.pointer import damaged_releases
    from agent_assets.store.damage import files_set_aside

    try:
        store = open_store(settings)
        damaged, aside = damaged_releases(store), files_set_aside(store, settings.home / "plan")
    except (AgentAssetsError, OSError):
        return  # the finding about the store says it
    for agent, why in damaged.items():
        problem, _, next_step = why.partition(" Next: ")
        yield Finding(f"release {'/'.join(agent)}", False, problem, next_step)
    if aside:
        shown = ", ".join(aside[:3])
        detail = f"{len(aside)} damaged files and artifacts were set aside: {shown}"
        yield Finding("damaged", True, detail)


def _home(settings: Settings) -> Finding:
    if (refused := _refuses(settings.home)) is not None:
        return Finding("home", False, refused, "set AGENT_ASSETS_HOME to a folder you may write to")
    return Finding("home", True, str(settings.home))


def _refuses(folder: Path) -> str | None:
    """Why files cannot be written in a folder, or in the nearest one above it that is there; None
    when they can.
    """
    try:
        while not folder.exists():
            folder = folder.parent
        with TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder}: {error.strerror}"


def _store(settings: Settings) -> Finding:
    if "://" in settings.store:
        from agent_assets.store.artifact_store import ArtifactStore

        try:
            ArtifactStore(settings.store, cache=settings.home / "store-cache")
        except AgentAssetsError as error:
            return Finding("store", False, error.message, error.next_step or "")
        return Finding("store", True, settings.store)
    folder = Path(settings.store)
    if (refused := _refuses(folder)) is not None:
        return Finding(
            "store", False, refused, "set AGENT_ASSETS_STORE to a folder you may write to"
        )
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{settings.store}, {free / 2**30:.0f} GiB free"
    return Finding(
        "store", free >= _ROOM_BYTES, detail, "free at least 10 GiB or set AGENT_ASSETS_STORE"
    )
