"""A machine that seems to have GPUs: an `nvidia-smi` that lists them, and an environment that prints its arguments."""

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


def printing_env(folder: Path, name: str = "gpu") -> EngineEnv:
    """An environment in `folder` whose Python prints its arguments, which go into the log of the engine, and fails."""
    python = folder / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    _executable(python, 'echo "$@"; exit 1')
    return EngineEnv(name, python)


def _executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
