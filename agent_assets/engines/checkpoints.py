"""Checkpoints as ms-swift writes them: `checkpoint-<step>`, of which the trainer's state is written
last.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

_SEAL = "complete"


def last_checkpoint_step(folder: Path) -> int:
    """Step of the last complete checkpoint of a folder; 0 when there is none."""
    steps = [0]
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        with suppress(json.JSONDecodeError):  # the machine went down while it was written
            steps.append(int(json.loads(state.read_text(encoding="utf-8"))["global_step"]))
    return max(steps)


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"checkpoint-{step}"


def seal_checkpoint(checkpoint: Path) -> None:
    """Have all of a checkpoint on the disk, then say so in it: a machine that goes down leaves
    files of which the end is missing.
    """
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file():
            _sync(path)
    (checkpoint / _SEAL).touch()
    _sync(checkpoint)
    _sync(checkpoint.parent)


def last_sealed_step(folder: Path) -> int:
    """Step of the last checkpoint of a folder that is known to be on the disk; 0 when there is
    none.
    """
    seals = folder.glob(f"checkpoint-*/{_SEAL}")
    return max((int(seal.parent.name.removeprefix("checkpoint-")) for seal in seals), default=0)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
