"""Weights that are a pickle: reading one runs whatever program its author put into it, so no part
of this product reads one. Weights are safetensors, which hold numbers and nothing else.
"""

from pathlib import Path

SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
NEXT_STEP = (
    "convert the weights on a machine that may run their author's code "
    "(`model.save_pretrained(folder)` of transformers writes safetensors), or take the safetensors "
    "that most authors publish beside them; then remove these files."
)


def pickled_files(folder: Path) -> list[str]:
    """Names of the files directly in a folder that are pickles by their ending, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
