"""`agent-assets setup`: make the engine environments. Costs nothing when nothing changed.

The locks below `locks/` name every file by its hash, and pip installs no other. `deploy/lock.sh`
writes them anew.
"""

import hashlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_assets.engines.devices.gpu import detect_gpus
from agent_assets.engines.environment import EXPORT_TOOLS
from agent_assets.errors import ConfigError, EngineFailed
from agent_assets.settings import DeviceChoice, chosen_python, torch_arguments

LOCKS = Path(__file__).resolve().parent / "locks"
_MADE_FROM = ".made-from"
_INSTALLERS = LOCKS / "installers.lock"


@dataclass(frozen=True)
class LockStep:
    """One run of pip.

    Attributes:
        lock: name of a file in `locks/`.
        no_deps: install what the lock names, and nothing that it wants.
        torch: the CPU build of torch, which lies in an index of its own (TORCH_ARGS).
    """

    lock: str
    no_deps: bool = False
    torch: bool = False

    @property
    def path(self) -> Path:
        """The lock."""
        return LOCKS / f"{self.lock}.lock"


@dataclass(frozen=True)
class Recipe:
    """How an environment is made.

    Attributes:
        python: version it is locked for, as in `3.11`.
        variable: environment variable that names the interpreter.
        costs: time and disk space, for who waits.
    """

    python: str
    variable: str
    costs: str
    steps: tuple[LockStep, ...]


_TORCH = LockStep("engine-cpu-torch", no_deps=True, torch=True)
RECIPES = {
    "cpu": Recipe(
        "3.11",
        "PYTHON_CPU",
        "about 3 minutes, 4 GB",
        (_TORCH, LockStep("engine-cpu"), LockStep("engine-cpu-nodeps", no_deps=True)),
    ),
    "gpu": Recipe("3.12", "PYTHON_GPU", "about 10 minutes", (LockStep("engine-gpu"),)),
    "unsloth": Recipe(
        "3.11", "PYTHON_CPU", "about 3 minutes, 4 GB", (_TORCH, LockStep("engine-unsloth"))
    ),
}


def engine_for(device: DeviceChoice) -> str:
    """The environment that GPU stages of this machine use.

    Raises:
        EngineMissing: the driver of a GPU does not answer.
    """
    if device == "auto":
        return "gpu" if detect_gpus() else "cpu"
    return device


def make_engine(name: str, engines: Path, say: Callable[[str], None]) -> bool:
    """Make the environment `name` in the folder of engines.

    Args:
        name: a key of `RECIPES`.
        say: told what takes long, before it begins.

    Returns:
        False when it was there already, made from the same locks.

    Raises:
        ConfigError: its Python is not there, or the folder cannot be written to.
        EngineFailed: pip could not install a lock; it has said why.
    """
    recipe, folder = RECIPES[name], engines / name
    python = _interpreter(name, recipe)
    wanted = _stamp(python, recipe, engines)
    made_from = folder / _MADE_FROM
    if made_from.is_file() and made_from.read_text(encoding="ascii").strip() == wanted:
        return False
    say(f"setup: engine environment in {folder} ({recipe.costs})")
    try:
        engines.mkdir(parents=True, exist_ok=True)
        made_from.unlink(missing_ok=True)
        if not _starts([str(folder / "bin" / "python"), "-c", ""]):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise ConfigError(
            f"{engines} cannot hold engine environments: {error.strerror}.",
            next_step="set AGENT_ASSETS_ENGINES to a folder you may write to.",
        ) from None
    if not folder.exists():
        _run([*python, "-m", "venv", str(folder)], f"{folder} could not be made.")
    _install(folder, _INSTALLERS, [])
    for step in recipe.steps:
        arguments = ["--no-deps"] if step.no_deps else []
        _install(folder, step.path, arguments, torch=step.torch)
    made_from.write_text(f"{wanted}\n", encoding="ascii")
    return True


def make_export_tools(engine: str, engines: Path, say: Callable[[str], None]) -> bool:
    """Install what writes GGUF files: a folder of packages that one program has on its path, in the
    environment of the engines.

    Args:
        engine: the environment whose pip installs them; made before.
        engines, say: as for `make_engine`.

    Returns:
        False when they were there already, made from the same lock.

    Raises:
        EngineFailed: pip could not install the lock; it has said why.
    """
    folder, lock = engines / EXPORT_TOOLS, LOCKS / "export.lock"
    made_from = folder / _MADE_FROM
    content = lock.read_bytes() + (engines / engine / _MADE_FROM).read_bytes()
    wanted = hashlib.sha256(content).hexdigest()[:16]
    if made_from.is_file() and made_from.read_text(encoding="ascii").strip() == wanted:
        return False
    say(f"setup: the converter to GGUF in {folder} (a few seconds, 50 MB)")
    shutil.rmtree(folder, ignore_errors=True)
    _install(engines / engine, lock, ["--no-deps", "--target", str(folder)])
    made_from.write_text(f"{wanted}\n", encoding="ascii")
    return True


def _install(folder: Path, lock: Path, arguments: Sequence[str], *, torch: bool = False) -> None:
    """Install a lock with the pip of the environment. A package that comes as source is built with
    what is there, so nothing is fetched that no lock names.
    """
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--require-hashes", "--no-build-isolation", *arguments]
    if torch:
        pip += shlex.split(torch_arguments())
    next_step = (
        "if your package index lacks the CPU build of torch that this lock names, name the index "
        'that has it: TORCH_ARGS="--index-url ..." agent-assets setup.'
        if torch
        else "read what pip says above; run the same command again to go on."
    )
    _run([*pip, "-r", str(lock)], f"pip could not install {lock.name}.", next_step)


def _run(command: Sequence[str], failure: str, next_step: str = "read what it says above.") -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise EngineFailed(failure, next_step=next_step)


def _interpreter(name: str, recipe: Recipe) -> list[str]:
    """The command of the Python that an environment is locked for."""
    chosen = chosen_python(recipe.variable)
    own = f"{sys.version_info.major}.{sys.version_info.minor}" == recipe.python
    python = chosen or (sys.executable if own else f"python{recipe.python}")
    advice = (
        f"install it (Debian: apt-get install python{recipe.python}-venv), or name one in "
        f"{recipe.variable}."
    )
    is_right = f"import ensurepip, sys; sys.exit(sys.version_info[:2] != {_tuple(recipe.python)})"
    if not _starts([python, "-c", ""]):
        raise ConfigError(
            f"The engines `{name}` need Python {recipe.python}, and {python} does not start.",
            next_step=advice,
        )
    if not _starts([python, "-c", is_right]):
        raise ConfigError(
            f"The engines `{name}` need Python {recipe.python} with its venv module; {python} is "
            "another version, or has none.",
            next_step=advice,
        )
    return [python]


def _tuple(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _starts(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _stamp(python: Sequence[str], recipe: Recipe, engines: Path) -> str:
    """What an environment is made from: with another one it is installed again. It is bound to its
    folder, which its programs name.
    """
    version = subprocess.run([*python, "--version"], check=True, capture_output=True).stdout
    content = version + _INSTALLERS.read_bytes()
    content += b"".join(step.path.read_bytes() for step in recipe.steps)
    content += f"{torch_arguments()}\n{engines.parent}\n".encode()
    return hashlib.sha256(content).hexdigest()[:16]
