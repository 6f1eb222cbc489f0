"""What every engine program shares: Pipes around a plain function, hashes of weights, versions,
memory, device.
"""

import hashlib
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from agent_assets.conversations.messages import canonical_json
from agent_assets.engines.codec import decode, encode
from agent_assets.engines.contracts import Program, ProgramMessage, ReportedError, WeightsLoaded
from agent_assets.errors import AgentAssetsError, BaseModelError
from agent_assets.pickled_weights import NEXT_STEP, pickled_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

P = TypeVar("P")
A = TypeVar("A", bound=ProgramMessage)
ReportMessage = Callable[[dict[str, object]], None]
Say = Callable[[ProgramMessage], None]

# Set before the libraries are imported: a log is not a terminal.
ENVIRONMENT = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "warning"}


def run_under_pipes(program: Program[P, A], core: Callable[[P, ReportMessage], A]) -> None:
    """Run `core` under Dagster Pipes: parameters in, progress and the result out as custom
    messages.
    """
    with _pipes(program) as (params, report, say):
        say(core(params, report))


def run_resident(program: Program[P, A], core: Callable[[P, Say], None]) -> None:
    """Run `core`, which says itself what it has to say."""
    with _pipes(program) as (params, _, say):
        core(params, say)


@contextmanager
def _pipes(program: Program[P, A]) -> Iterator[tuple[P, ReportMessage, Say]]:
    """Parameters, and two ways to speak. An error that a user can act on is also said, then leaves
    like every other.
    """
    from dagster_pipes import open_dagster_pipes

    prepare_environment()
    with open_dagster_pipes() as pipes:

        def say(answer: ProgramMessage) -> None:
            pipes.report_custom_message({"kind": answer.kind, **encode(answer)})

        try:
            yield (
                decode(program.params, pipes.get_extra("params"), program=program.name),
                pipes.report_custom_message,
                say,
            )
        except AgentAssetsError as error:
            say(ReportedError(type(error).__name__, error.message, error.next_step))
            raise


def prepare_environment() -> None:
    """Set the environment of an engine program, where the launcher did not."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def report_progress(report: ReportMessage, stage: str, **fields: float | None) -> None:
    """Report one step of live progress."""
    known = {"step": 0, "total_steps": 0, "loss": None, "tokens": None, "eta_seconds": None}
    report({"kind": "progress", "stage": stage, **known, **fields})


class FactFields(TypedDict):
    """The fields of `contracts.Facts`."""

    versions: dict[str, str]
    device: str
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None


def facts(*libraries: str) -> FactFields:
    """What every result states: library versions, Python's included, the device, and peak memory in
    bytes.
    """
    import torch

    gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name(0) if gpu else "cpu",
        "peak_memory_bytes": peak_memory_bytes(),
        "versions": {name: version(name) for name in sorted(libraries)}
        | {"python": sys.version.split()[0]},
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated() if gpu else None,
    }


def peak_memory_bytes() -> int:
    """Resident peak of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """One hash for the safetensors of a model folder: of the file, or of the sorted list of names
    and hashes.

    Raises:
        BaseModelError: the folder is missing, holds no safetensors, or holds pickles, too.
    """
    if folder.is_dir() and (pickled := pickled_files(folder)):
        raise BaseModelError(
            f"{folder} holds pickles, which can run programs when they are read: "
            f"{', '.join(pickled[:3])}.",
            next_step=NEXT_STEP,
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BaseModelError(
            f"No safetensors in {folder}.",
            next_step="Point it at a folder with a model's safetensors and config.json.",
        )
    hashes = {path.name: sha256_file(path) for path in files}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256(canonical_json(hashes).encode()).hexdigest()


def loaded_weights(folder: Path, model: "PreTrainedModel") -> WeightsLoaded:
    """The weights really loaded, read from the loaded model: a swapped or quantized copy shows."""
    quantization = getattr(model.config, "quantization_config", None)
    return WeightsLoaded(
        name=model.config.name_or_path
        if not Path(model.config.name_or_path).is_absolute()
        else "base_model",
        sha256=weights_sha256(folder),
        dtype=str(model.dtype).removeprefix("torch."),
        quantization=None
        if quantization is None
        else str(getattr(quantization, "quant_method", quantization)),
    )


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes."""
    path.write_text(
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
