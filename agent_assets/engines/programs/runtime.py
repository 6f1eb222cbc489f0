"""What every engine program shares: Pipes around a plain function, hashes of weights, versions, memory, device."""

import hashlib
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent_assets.conversations.messages import canonical_json
from agent_assets.errors import AgentAssetsError, BaseModelError

Params = Mapping[str, Any]
Report = Callable[[dict[str, Any]], None]
Core = Callable[[Params, Report], dict[str, Any]]

# Set before the libraries are imported: a log is no terminal.
ENVIRONMENT = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "warning"}


def run_program(core: Core) -> None:
    """Run `core` under Dagster Pipes: parameters in, progress and the result out as custom messages.

    An error that a user can act on is also reported as one message, then leaves like every other.
    """
    from dagster_pipes import open_dagster_pipes

    prepare_environment()
    with open_dagster_pipes() as pipes:
        try:
            result = core(pipes.get_extra("params"), pipes.report_custom_message)
        except AgentAssetsError as error:
            pipes.report_custom_message(
                {
                    "kind": "error",
                    "type": type(error).__name__,
                    "message": error.message,
                    "next_step": error.next_step,
                }
            )
            raise
        pipes.report_custom_message({"kind": "result", **result})


def run_in_folder(core: Callable[[Path], None]) -> None:
    """Run `core` on the folder that the command line names; an error that a user can act on is left in error.json."""
    prepare_environment()
    folder = Path(sys.argv[1])
    try:
        core(folder)
    except AgentAssetsError as error:
        told = {"type": type(error).__name__, "message": error.message, "next_step": error.next_step}
        answer(folder / "error.json", told)
        raise


def answer(path: Path, value: dict[str, Any]) -> None:
    """Write JSON so that a reader sees all of it or nothing."""
    partial = path.with_name(f".{path.name}")
    write_json(partial, value)
    partial.rename(path)


def prepare_environment() -> None:
    """Set the environment of an engine program, where the launcher did not."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def progress(report: Report, stage: str, **fields: Any) -> None:
    """Report one step of live progress."""
    known = {"step": 0, "total_steps": 0, "loss": None, "tokens": None, "eta_seconds": None}
    report({"kind": "progress", "stage": stage, **known, **fields})


def facts(*libraries: str) -> dict[str, Any]:
    """What every result states: library versions, Python's included, the device, and peak memory in bytes."""
    import torch

    gpu = torch.cuda.is_available()
    found = {
        "device": torch.cuda.get_device_name(0) if gpu else "cpu",
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {name: version(name) for name in sorted(libraries)} | {"python": sys.version.split()[0]},
    }
    if gpu:
        found["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
    return found


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """One hash for the safetensors of a model folder: of the file, or of the sorted list of names and hashes.

    Raises:
        BaseModelError: the folder is missing or holds no safetensors.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BaseModelError(
            f"No safetensors in {folder}.", next_step="Point it at a folder with a model's safetensors and config.json."
        )
    hashes = {path.name: sha256_file(path) for path in files}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256(canonical_json(hashes).encode()).hexdigest()


def loaded_weights(folder: Path, model: Any) -> dict[str, Any]:
    """The weights really loaded, read from the loaded model: a swapped or quantized copy shows."""
    quantization = getattr(model.config, "quantization_config", None)
    return {
        "name": model.config.name_or_path if not Path(model.config.name_or_path).is_absolute() else "base_model",
        "sha256": weights_sha256(folder),
        "dtype": str(model.dtype).removeprefix("torch."),
        "quantization": None if quantization is None else str(getattr(quantization, "quant_method", quantization)),
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
