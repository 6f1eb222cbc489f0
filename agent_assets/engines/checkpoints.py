"""Checkpoints as ms-swift writes them: `checkpoint-<step>`, of which the trainer's state is written
last.
"""

import json
from contextlib import suppress
from pathlib import Path


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
