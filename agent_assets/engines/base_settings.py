"""How a base model is to be served: beside its weights, so that it goes where they go.

An agent answers as it was judged for as long as its release rests on that folder, whatever is
configured since. Standard library only.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agent_assets.errors import BaseModelError

SETTINGS_FILE = "base_model.json"


@dataclass(frozen=True)
class BaseServing:
    """What servers of a base model are told.

    Args:
        context_length: tokens; None leaves it to the settings of serving.
        quantization: how servers hold the weights, as vLLM calls it; None: as they are.
    """

    context_length: int | None = None
    quantization: str | None = None


def write_base_serving(folder: Path, serving: BaseServing) -> None:
    """Write it into the folder of a base model; nothing where all is as usual."""
    if serving != BaseServing():
        text = json.dumps(asdict(serving), indent=2, sort_keys=True)
        (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def read_base_serving(folder: Path) -> BaseServing:
    """What was written into the folder of a base model.

    Raises:
        BaseModelError: something else stands there.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return BaseServing()
    try:
        return BaseServing(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise BaseModelError(
            f"{path} does not say how the base model is served.",
            next_step="materialize base_model again.",
        ) from None
