"""`export.json`: whose model an exported folder or bundle holds, and the hash of each file."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from agent_assets.errors import ExportError
from agent_assets.export.released import ReleasedModel
from agent_assets.store.manifest import FileEntry, hash_file

EXPORT_FILE = "export.json"
Form = Literal["gguf", "ollama", "hf", "adapter", "bundle"]


class Verification(BaseModel):
    """How a GGUF file was compared with the weights in float32; shares between 0 and 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_agreement: float
    answer_agreement: float
    reference_token_agreement: float
    min_token_agreement: float


class ExportManifest(BaseModel):
    """What was exported.

    Args:
        agent: `pipeline/elder`, or the pipeline; it names the elder, so that an erasure finds it.
        version: of the release.
        base: of the base model: its data version, and what it was loaded from.
        files: by relative path with `/`, all but this one and a signature.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    form: Form
    agent: str
    pipeline: str
    partition: str | None
    name: str
    version: str
    base: dict[str, str]
    quantization: str | None = None
    verification: Verification | None = None
    files: dict[str, FileEntry]

    @field_validator("name")
    @classmethod
    def _is_a_name_of_one_folder(cls, name: str) -> str:
        # An imported one becomes the name of a folder.
        if name != Path(name).name or name in {".", ".."} or "\0" in name:
            raise ValueError("is no name")
        return name


def manifest_of(
    released: ReleasedModel,
    form: Form,
    folder: Path,
    *,
    quantization: str | None = None,
    verification: Verification | None = None,
) -> ExportManifest:
    """The manifest of what lies in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    base = released.candidate.parts["base"]
    loaded = released.part("base").manifest.weights_loaded or {}
    return ExportManifest(
        form=form,
        agent=released.title,
        pipeline=released.candidate.pipeline,
        partition=released.candidate.partition,
        name=released.candidate.name,
        version=released.entry.version,
        base={"version": base.version, "weights": str(loaded.get("name", ""))},
        quantization=quantization,
        verification=verification,
        files={path.relative_to(folder).as_posix(): hash_file(path) for path in files},
    )


def manifest_bytes(manifest: ExportManifest) -> bytes:
    """As it stands in its file: what a signature signs."""
    return (manifest.model_dump_json(indent=1) + "\n").encode()


def read_manifest(content: bytes, where: str) -> ExportManifest:
    """Read a manifest that somebody sent.

    Raises:
        ExportError: it is none.
    """
    try:
        return ExportManifest.model_validate_json(content)
    except ValidationError as error:
        raise ExportError(
            f"{EXPORT_FILE} of {where} is no manifest of an export ({error.error_count()} "
            "problems).",
            next_step="ask who sent it for another copy.",
        ) from None
