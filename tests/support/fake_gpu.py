"""A machine that seems to have GPUs: an `nvidia-smi` that lists them, and an environment that
prints its arguments.
"""

import os
from pathlib import Path

import pytest

from agent_assets.engines.environment import EngineEnv

ONE = "0, GPU-aaaa, NVIDIA H100 80GB HBM3"


def show_gpus(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str = f"echo '{ONE}'") -> None:
    """Put an `nvidia-smi` that does this first on the path."""
    folder.mkdir(parents=True, exist_ok=True)
    _executable(folder / "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def printing_env(folder: Path, before: str = "") -> EngineEnv:
    """An environment for a GPU in `folder`. Its Python prints its arguments (into the engine's log)
    and fails.

    Args:
        before: shell commands that come first.
    """
    python = folder / "gpu" / "bin" / "python"
    python.parent.mkdir(parents=True)
    _executable(python, f'{before}\necho "$@"; exit 1')
    return EngineEnv("gpu", python)


def _executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
