"""`agent-assets export-model`: the released model of an agent as a folder for other programs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_assets.engines.contracts import ADAPTER_FILES
from agent_assets.engines.environment import find_export_tools
from agent_assets.engines.export_contracts import (
    GGUF_EXPORT,
    GgufParams,
    GgufResult,
    Quantization,
)
from agent_assets.engines.for_person import run_for_person
from agent_assets.engines.local_engines import LocalEngines
from agent_assets.errors import ExportError
from agent_assets.export.config import THRESHOLDS, why_not_verified
from agent_assets.export.manifest import (
    EXPORT_FILE,
    Form,
    Verification,
    manifest_bytes,
    manifest_of,
)
from agent_assets.export.ollama.modelfile import write_modelfile
from agent_assets.export.places import default_folder, new_export_folder
from agent_assets.export.released import ReleasedModel, find_released
from agent_assets.export.sizes import check_room, copy_room, gguf_room
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.erasable_data import agent_logs

GGUF_FILE = "model.gguf"
_MINUTES, _MEMORY_GB = 240.0, 256.0
_FIGURES = ("token_agreement", "answer_agreement", "reference_token_agreement")
# What an artifact has for the installation alone.
_OWN = shutil.ignore_patterns("manifest.json", "logs", "plots", "own_chat_template.txt")


@dataclass(frozen=True)
class ExportRequest:
    """What somebody asks for.

    Args:
        folder: where to; None takes one in the home.
        min_token_agreement: of a verified file; None takes the threshold of the quantization.
    """

    agent: str
    form: Form
    quantization: Quantization = "q8_0"
    folder: Path | None = None
    min_token_agreement: float | None = None


def export_model(
    settings: Settings, request: ExportRequest, report: Callable[[str], None]
) -> tuple[Path, Verification | None]:
    """Write what is asked for into a new folder; returns it, and how a GGUF file was verified.

    Raises:
        ReleaseError: the agent has no release.
        ExportError: the folder is there already, the file does not agree with the weights, or the
            model cannot be said in this form.
        StoreFull: there is not enough room.
        EngineMissing: what writes GGUF files is not installed.
    """
    store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
    released = find_released(store, request.agent)
    ending = request.quantization if request.form == "gguf" else request.form
    target = request.folder or default_folder(settings.home, released) / (
        f"{released.candidate.name}-{ending}"
    )
    with new_export_folder(target) as folder:
        verification = None
        if request.form in ("hf", "adapter"):
            _copy(released, request.form, folder)
        else:
            verification = _write_gguf(settings, released, request, folder, report)
            if request.form == "ollama":
                write_modelfile(released, request.quantization, folder)
        manifest = manifest_of(
            released,
            request.form,
            folder,
            quantization=None if verification is None else request.quantization,
            verification=verification,
        )
        (folder / EXPORT_FILE).write_bytes(manifest_bytes(manifest))
    return target, verification


def _copy(released: ReleasedModel, form: Form, folder: Path) -> None:
    role = "merged" if form == "hf" else "adapter"
    artifact = released.part(role)
    check_room(folder, copy_room(artifact.path))
    if role == "merged":
        shutil.copytree(artifact.path, folder, dirs_exist_ok=True, ignore=_OWN)
    else:
        for name in ADAPTER_FILES:
            shutil.copyfile(artifact.path / name, folder / name)


def _write_gguf(
    settings: Settings,
    released: ReleasedModel,
    request: ExportRequest,
    folder: Path,
    report: Callable[[str], None],
) -> Verification:
    """Write model.gguf: the file of the asset where it is of these weights, else a new one."""
    threshold = request.min_token_agreement or THRESHOLDS[request.quantization]
    stored = released.gguf(request.quantization)
    if stored is not None and stored.manifest.summary["token_agreement"] >= threshold:
        check_room(folder, copy_room(stored.path))
        shutil.copyfile(stored.path / GGUF_FILE, folder / GGUF_FILE)
        figures = {name: stored.manifest.summary[name] for name in _FIGURES}
        return Verification(**figures, min_token_agreement=threshold)
    result = _convert(settings, released, request.quantization, folder, report)
    if problems := why_not_verified(result.agreement, result.reference, threshold):
        raise ExportError(
            f"The {request.quantization} file of {released.title} is not verified, and was "
            f"removed: {'; '.join(problems)}.",
            next_step="choose a quantization that keeps more (f16, q8_0), or say with "
            "--min-agreement what is enough for you.",
        )
    return Verification(
        token_agreement=result.agreement.token_agreement,
        answer_agreement=result.agreement.answer_agreement,
        reference_token_agreement=result.reference.token_agreement,
        min_token_agreement=threshold,
    )


def _convert(
    settings: Settings,
    released: ReleasedModel,
    quantization: Quantization,
    folder: Path,
    report: Callable[[str], None],
) -> GgufResult:
    tools = find_export_tools(settings.engines)
    merged = released.part("merged")
    check_room(folder, gguf_room(merged.path, quantization))
    engines = LocalEngines(
        environments=str(settings.engines), device=settings.device, home=str(settings.home)
    )
    candidate = released.candidate
    # Its log outlives a failure, where an erasure finds it.
    log = agent_logs(engines.logs, candidate.pipeline, candidate.partition) / "export"
    with TemporaryDirectory(dir=folder) as work:
        result = run_for_person(
            engines,
            GGUF_EXPORT,
            GgufParams(
                model_dir=merged.path,
                out_file=folder / GGUF_FILE,
                work_dir=Path(work),
                name=candidate.name,
                quantization=quantization,
                system_prompt=candidate.system_prompt,
            ),
            work_dir=log,
            max_minutes=_MINUTES,
            max_memory_gb=_MEMORY_GB,
            report=report,
            search_path=tools,
        )
    shutil.rmtree(log)
    return result
