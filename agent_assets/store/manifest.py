"""`manifest.json`: what an artifact is, what went in, what came out. Written last, so that it seals
a folder.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_FILE = "manifest.json"

# Files that describe how an artifact was made rather than what it is: logs carry times and paths,
# plots depend on the plotting library. They are hashed and verified like all others but never move
# the data version.
DESCRIPTIVE_PREFIXES = ("logs/", "plots/")

_CHUNK = 1 << 20


class FileEntry(BaseModel):
    """Hash (hex sha256) and size of one file of an artifact."""

    model_config = ConfigDict(extra="forbid")

    sha256: str
    bytes: int


class EngineEntry(BaseModel):
    """The program that made an artifact and the library versions it ran with."""

    model_config = ConfigDict(extra="forbid")

    name: str
    versions: dict[str, str] = Field(default_factory=dict)


class CheckEntry(BaseModel):
    """One asset check as evaluated when the artifact was built; repeated when the artifact is
    reused.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    passed: bool
    blocking: bool = True
    description: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class Manifest(BaseModel):
    """Everything known about one artifact. `seconds` is the wall time of its build, `created_at`
    ISO 8601 in UTC.
    """

    model_config = ConfigDict(extra="forbid")

    pipeline: str
    asset: str
    partition: str | None
    fingerprint: str
    data_version: str
    code_version: str
    inputs: dict[str, str]
    config: dict[str, Any]
    files: dict[str, FileEntry]
    engine: EngineEntry | None = None
    device: str = "cpu"
    seconds: float = 0.0
    created_at: str
    weights_loaded: dict[str, Any] | None = None
    summary: dict[str, Any] = Field(default_factory=dict)
    checks: list[CheckEntry] = Field(default_factory=list)


def hash_file(path: Path) -> FileEntry:
    """Sha256 and size of one file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(sha256=digest.hexdigest(), bytes=size)


def file_names(folder: Path) -> list[str]:
    """Relative POSIX path of every file below `folder` but the manifest, sorted."""
    return sorted(name for name in _walk(str(folder), "") if name != MANIFEST_FILE)


def _walk(folder: str, before: str) -> Iterator[str]:
    # A seventh of rglob's time, for every artifact that is looked up
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{before}{entry.name}/")
            elif entry.is_file():
                yield before + entry.name


def list_files(folder: Path) -> list[Path]:
    """Every file below `folder` but the manifest, sorted by relative path."""
    return [folder / name for name in file_names(folder)]


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """Hash every file of an artifact's folder, by relative POSIX path."""
    return {name: hash_file(folder / name) for name in file_names(folder)}


def content_version(
    files: dict[str, FileEntry], *, only_suffixes: Iterable[str] | None = None
) -> str:
    """Data version of an artifact: the hash of its content files.

    Args:
        files: hashes by relative path.
        only_suffixes: count only files with these endings (weights are versioned by their tensors:
            configuration files beside them may carry paths). None counts all files that are not
            descriptive.

    Returns:
        32 hex digits.
    """
    suffixes = None if only_suffixes is None else tuple(only_suffixes)
    digest = hashlib.sha256()
    for name in sorted(files):
        if name.startswith(DESCRIPTIVE_PREFIXES) or (
            suffixes is not None and not name.endswith(suffixes)
        ):
            continue
        digest.update(f"{name}\0{files[name].sha256}\n".encode())
    return digest.hexdigest()[:32]
