"""Whether the weights in a folder are all of the model that its configuration describes, and fit
what is asked of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.errors import BaseModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

INDEX_FILE = "model.safetensors.index.json"


def check_not_quantized(config: "PretrainedConfig", folder: Path) -> None:
    """Refuse weights that are quantized.

    Raises:
        BaseModelError: they are.
    """
    quantization = getattr(config, "quantization_config", None)
    if quantization is None:
        return
    method = (
        quantization.get("quant_method") if isinstance(quantization, dict) else None
    ) or getattr(quantization, "quant_method", "some way")
    raise BaseModelError(
        f"The weights in {folder} are quantized ({method}): adapters are trained on full weights "
        "and merged into them.",
        next_step="Use the model that they were made from; `quantization: fp8` has servers hold "
        "it quantized.",
    )


def check_shards(folder: Path) -> None:
    """Refuse a folder that lacks a file of its index, or holds one that the index does not name.

    Raises:
        BaseModelError: so it is.
    """
    index = folder / INDEX_FILE
    if not index.is_file():
        return
    named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    there = {path.name for path in folder.glob("*.safetensors")}
    if absent := sorted(named - there):
        raise BaseModelError(
            f"{len(absent)} of the {len(named)} files of weights are missing from {folder}, such "
            f"as {absent[0]}.",
            next_step="Copy the model again, with every shard.",
        )
    if further := sorted(there - named):
        raise BaseModelError(
            f"{folder} holds weights that {INDEX_FILE} does not name: {further[0]}.",
            next_step="Remove what does not belong to the model, or copy it again.",
        )


def check_tensors(
    model: "PreTrainedModel", stored: Mapping[str, tuple[int, ...]], folder: Path
) -> None:
    """Compare names and shapes of the stored tensors with those of the model.

    Args:
        model: without weights.
        stored: shapes by name.

    Raises:
        BaseModelError: some are missing, or they are of another model.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    absent = set(expected) - set(stored) - set(getattr(model, "all_tied_weights_keys", {}))
    kind = type(model).__name__
    if absent and len(absent) * 2 > len(expected):
        raise BaseModelError(
            f"The weights in {folder} are of another architecture than its config.json says "
            f"({kind}): {len(absent)} of its {len(expected)} tensors are not there, such as "
            f"{min(absent)}.",
            next_step="Put config.json and weights of one model there.",
        )
    if absent:
        raise BaseModelError(
            f"{len(absent)} weights are missing from the safetensors in {folder}, such as "
            f"{min(absent)}.",
            next_step="Copy the model again, with every shard.",
        )
    modules = {path for path, _ in model.named_modules()}
    misplaced = [
        name
        for name in sorted(set(stored) - set(expected))
        if name.rsplit(".", 2)[0] in modules - {""} and not name.endswith("inv_freq")
    ]
    if misplaced:
        raise BaseModelError(
            f"The weights in {folder} are of another architecture than its config.json says "
            f"({kind}), which has no place for {len(misplaced)} of them, such as {misplaced[0]}.",
            next_step="Put config.json and weights of one model there.",
        )
    shared = sorted(expected.keys() & stored.keys())
    different = [name for name in shared if expected[name] != stored[name]]
    if different:
        name = different[0]
        raise BaseModelError(
            f"The weights in {folder} are of another model than its config.json describes: "
            f"{len(different)} tensors have another shape, such as {name} with "
            f"{list(stored[name])} instead of {list(expected[name])}.",
            next_step="Put config.json and weights of one model there.",
        )


def check_fits(
    model: "PreTrainedModel",
    name: str,
    *,
    context_length: int | None,
    target_modules: list[str] | None,
) -> None:
    """Compare what is asked of a model with what it has.

    Raises:
        BaseModelError: the context is longer than the model's, or a layer is not there.
    """
    longest = longest_context(model.config)
    if context_length is not None and longest is not None and context_length > longest:
        raise BaseModelError(
            f"context_length is {context_length}, and {name} reads {longest} tokens at most "
            "(max_position_embeddings).",
            next_step=f"Set context_length to {longest} or less.",
        )
    layers = {path.rsplit(".", 1)[-1] for path, _ in model.named_modules()}
    if absent := sorted(set(target_modules or ()) - layers):
        linear = {
            path.rsplit(".", 1)[-1]
            for path, module in model.named_modules()
            if type(module).__name__ == "Linear" and not path.endswith("lm_head")
        }
        raise BaseModelError(
            f"{name} has no layers called {', '.join(absent)} (lora_target_modules).",
            next_step=f"Choose among {', '.join(sorted(linear))}.",
        )


def longest_context(config: "PretrainedConfig") -> int | None:
    """Tokens that a model reads at most; None where its configuration does not say."""
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    return longest if isinstance(longest, int) else None
