"""Program `base_model`: source weights to a folder with safetensors, tokenizer and chat template:
ours, or the one that the model came with.
"""

import os
import shutil
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agent_assets.engines.chat_templates.choice import (
    HERMES,
    NATIVE,
    OWN_TEMPLATE_FILE,
    TEMPLATE_FILE,
    chat_template,
)
from agent_assets.engines.contracts import (
    BASE_MODEL,
    PACKAGE_PREFIX,
    BaseModelParams,
    BaseModelResult,
    WeightsLoaded,
)
from agent_assets.engines.programs.native_tokenizer import (
    save_native,
    template_it_came_with,
    with_padding,
)
from agent_assets.engines.programs.runtime import (
    ReportMessage,
    facts,
    report_progress,
    run_under_pipes,
    sha256_file,
    weights_sha256,
)
from agent_assets.engines.programs.source_checks import (
    INDEX_FILE,
    check_fits,
    check_not_quantized,
    check_shards,
    check_tensors,
    longest_context,
)
from agent_assets.errors import BaseModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What safetensors call the types.
_STORED_AS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def prepare(params: BaseModelParams, report: ReportMessage) -> BaseModelResult:
    """Make the base model folder. The same source gives the same bytes.

    Raises:
        BaseModelError: the source is missing, changed, or no causal language model that agents can
            speak by.
    """
    source, out_dir = params.source, params.out_dir
    out_dir.mkdir(parents=True, exist_ok=True)
    from_package = source.startswith(PACKAGE_PREFIX)
    report_progress(report, "hash", total_steps=3)
    weights = (
        find_gguf(source.removeprefix(PACKAGE_PREFIX)) if from_package else find_model(Path(source))
    )
    digest = sha256_file(weights) if from_package else weights_sha256(weights)
    _check_hash(source, digest, params.sha256)
    report_progress(report, "convert" if from_package else "copy", step=1, total_steps=3)
    convert = _convert_gguf if from_package else _copy_model
    loaded = convert(weights, out_dir, params.dtype)
    check_fits(
        loaded.model,
        loaded.name,
        context_length=params.context_length,
        target_modules=params.lora_target_modules,
    )
    report_progress(report, "tokenizer", step=2, total_steps=3)
    tokenizer = _read_tokenizer(weights, from_package=from_package)
    name = HERMES if params.chat_template == NATIVE else params.chat_template
    # A model that was exported from here came with our template: it keeps that.
    exported = tokenizer.chat_template == chat_template(name) and not params.thinking
    if params.chat_template == NATIVE and not exported:
        padding = save_native(tokenizer, loaded.name, out_dir, thinking=params.thinking)
    else:
        own = (
            None
            if exported or from_package
            else template_it_came_with(tokenizer, loaded.name, out_dir)
        )
        padding = with_padding(tokenizer, loaded.name)
        _save_with_our_template(tokenizer, loaded.name, out_dir, chat_template(name))
        if own is not None:
            (out_dir / OWN_TEMPLATE_FILE).write_text(own, encoding="utf-8")
    report_progress(report, "done", step=3, total_steps=3)
    return BaseModelResult(
        parameters=loaded.parameters,
        files=sorted(path.name for path in out_dir.iterdir() if path.is_file()),
        weights_loaded=WeightsLoaded(loaded.name, digest, loaded.dtype, loaded.quantization),
        padding=padding,
        longest_context=longest_context(loaded.model.config),
        **facts("torch", "transformers", "safetensors"),
    )


@dataclass(frozen=True)
class _Source:
    """What the source weights say about themselves; `dtype` is the one they are kept in."""

    name: str
    dtype: str
    quantization: str | None
    parameters: int
    model: "PreTrainedModel"  # perhaps without its weights


def find_gguf(package: str) -> Path:
    """The one GGUF file of an installed package. The package is not imported: only its data is
    wanted.

    Raises:
        BaseModelError: the package is not installed, or does not hold exactly one GGUF file.
    """
    spec = find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise BaseModelError(
            f"The package {package} is not installed in the engine environment.",
            next_step="Run `agent-assets setup`.",
        )
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if len(files) != 1:
        raise BaseModelError(
            f"The package {package} holds {len(files)} GGUF files, one is expected.",
            next_step="Install the version that deploy/requirements names.",
        )
    return files[0]


def find_model(folder: Path) -> Path:
    """Check that `folder` holds a model: configuration, safetensors, tokenizer."""
    for name in ("config.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise BaseModelError(
                f"The base model folder {folder} has no {name}.",
                next_step="Point `base_model.source` at a folder with a Hugging Face model and "
                "its tokenizer.",
            )
    return folder


def _check_hash(source: str, digest: str, expected: str | None) -> None:
    if expected is not None and digest != expected:
        raise BaseModelError(
            f"The weights of {source} have the hash {digest[:12]}..., expected {expected[:12]}...: "
            "they have changed.",
            next_step="Restore the weights, or pin the new hash in `base_model.sha256` if the "
            "change is wanted.",
        )


def _convert_gguf(path: Path, out_dir: Path, dtype: str) -> _Source:
    """De-quantize to safetensors, `auto` is float32: a copy of the quantized
    weights, not the weights they were made from.
    """
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    kept = "float32" if dtype == "auto" else dtype
    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent),
        gguf_file=path.name,
        dtype=getattr(torch, kept),
        quantization_config=GgufConfig(dequantize=True),
    )
    stem, _, quantization = path.stem.rpartition(".")
    model.save_pretrained(str(out_dir))
    parameters = model.num_parameters()
    return _Source(stem, kept, f"dequantized from {quantization}", parameters, model)


def _copy_model(folder: Path, out_dir: Path, dtype: str) -> _Source:
    """Link (or copy, across devices) the weights after checking that they are all of a causal
    language model; or convert them to another type.
    """
    from safetensors import safe_open

    model = _model_without_weights(folder)
    check_not_quantized(model.config, folder)
    check_shards(folder)
    types, shapes = set(), {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_slice(name)
                types.add(tensor.get_dtype())
                shapes[name] = tuple(tensor.get_shape())
    check_tensors(model, shapes, folder)
    source = _Source(folder.name, "/".join(sorted(types)), None, model.num_parameters(), model)
    if dtype != "auto" and types != {_STORED_AS[dtype]}:
        return _converted(source, folder, out_dir, dtype)
    names = [path.name for path in folder.glob("*.safetensors")]
    for name in [*names, "config.json", "generation_config.json", INDEX_FILE]:
        if (folder / name).is_file():
            _link(folder / name, out_dir / name)
    return source


def _model_without_weights(folder: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(folder))
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise BaseModelError(
            f"The model in {folder} is not a causal language model that transformers knows: "
            f"{error}",
            next_step="Use a text generation model whose architecture the installed transformers "
            "supports.",
        ) from error
    return model


def _converted(source: _Source, folder: Path, out_dir: Path, dtype: str) -> _Source:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=getattr(torch, dtype))
    model.save_pretrained(str(out_dir))
    return replace(source, dtype=dtype)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another device, or a file system without hard links
        shutil.copyfile(source, target)


def _read_tokenizer(weights: Path, *, from_package: bool) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    folder, gguf = (weights.parent, {"gguf_file": weights.name}) if from_package else (weights, {})
    return AutoTokenizer.from_pretrained(str(folder), **gguf)


def _save_with_our_template(
    tokenizer: "PreTrainedTokenizerBase", name: str, out_dir: Path, template: str
) -> None:
    # Training adds what the tokenizer adds to a text, serving does not: only a tokenizer that adds
    # nothing gives both the same tokens. And generation ends at <|im_end|>, which has to be one
    # token for that.
    if len(tokenizer("a")["input_ids"]) != len(
        tokenizer("a", add_special_tokens=False)["input_ids"]
    ):
        raise BaseModelError(
            f"The tokenizer of {name} adds tokens of its own around a text.",
            next_step="Use a ChatML model, such as SmolLM2 or Qwen.",
        )
    if len(tokenizer("<|im_start|><|im_end|>")["input_ids"]) != 2:
        raise BaseModelError(
            f"The tokenizer of {name} has no ChatML tokens <|im_start|> and <|im_end|>.",
            next_step="Use a ChatML model, such as SmolLM2 or Qwen.",
        )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(str(out_dir))
    # As text, not through the tokenizer: a template is compared byte by byte before training.
    (out_dir / TEMPLATE_FILE).write_text(template, encoding="utf-8")


if __name__ == "__main__":
    run_under_pipes(BASE_MODEL, prepare)
