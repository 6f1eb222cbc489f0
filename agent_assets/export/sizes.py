"""How much room an export takes, and whether it is there, before anything is written."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from agent_assets.engines.export_contracts import Quantization
from agent_assets.errors import StoreFull

_SPARE = 64 * 1024**2  # for tokenizer, logs, and what else is written meanwhile
_BITS: Mapping[Quantization, float] = {"f16": 16, "q8_0": 8.5, "q4_k_m": 6.5}


def weights_of(model_dir: Path) -> int:
    """How many numbers a model's safetensors hold, from their headers."""
    count = 0
    for path in model_dir.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        tensors = (entry for name, entry in header.items() if name != "__metadata__")
        count += sum(math.prod(entry["shape"]) for entry in tensors)
    return count


def gguf_room(model_dir: Path, quantization: Quantization) -> int:
    """Bytes that a GGUF export needs: the file, and one in float32 beside it for a while."""
    return int(weights_of(model_dir) * (4 + _BITS[quantization] / 8)) + _SPARE


def copy_room(*folders: Path) -> int:
    """Bytes of copies of folders."""
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*")) + _SPARE


def check_room(folder: Path, needed: int) -> None:
    """See that so many bytes are free where a folder lies.

    Raises:
        StoreFull: they are not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreFull(
            f"The export needs {needed / 1e9:.2f} GB at {folder}, and {free / 1e9:.2f} GB are "
            "free there.",
            next_step="free space, or name another folder.",
        )
