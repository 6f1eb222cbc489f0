"""A tar of an artifact's files, made while it is sent: it may be larger than memory, or than what
the disk has left.

Its length is known before, from the manifest, and every file is compared with the manifest while it
is sent. What got lost or changed meanwhile breaks the download off: with fewer bytes than were
announced no client takes it for a whole one.
"""

import hashlib
import logging
import tarfile
from collections.abc import Iterator
from datetime import datetime

from agent_assets.errors import CorruptArtifact
from agent_assets.store.artifact_store import Artifact
from agent_assets.store.manifest import FileEntry

log = logging.getLogger("agent_assets.serving")
_CHUNK = 1 << 20
_NOT_SENT = ("logs/", "plots/")


def archive_size(artifact: Artifact) -> int:
    """Bytes of the tar."""
    members = sum(
        len(_header(artifact, name, entry)) + _padded(entry.bytes, tarfile.BLOCKSIZE)
        for name, entry in _files(artifact)
    )
    return _padded(members + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)


def archive(artifact: Artifact) -> Iterator[bytes]:
    """The tar, piece by piece.

    Raises:
        CorruptArtifact: a file is missing or is not what the manifest says.
    """
    sent = 0
    for name, entry in _files(artifact):
        header = _header(artifact, name, entry)
        yield header
        yield from _content(artifact, name, entry)
        yield bytes(-entry.bytes % tarfile.BLOCKSIZE)
        sent += len(header) + _padded(entry.bytes, tarfile.BLOCKSIZE)
    yield bytes(archive_size(artifact) - sent)


def _content(artifact: Artifact, name: str, entry: FileEntry) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    try:
        with (artifact.path / name).open("rb") as file:
            while chunk := file.read(min(_CHUNK, entry.bytes - size)):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
    except OSError as error:
        raise _broken(artifact, name, error.strerror or type(error).__name__) from error
    if digest.hexdigest() != entry.sha256:
        raise _broken(artifact, name, "it differs from its manifest")


def _broken(artifact: Artifact, name: str, why: str) -> CorruptArtifact:
    fields = {"artifact": str(artifact.key), "file": name, "why": why}
    log.error("export broken off", extra={"fields": fields})
    return CorruptArtifact(
        f"{artifact.key} lost {name} while it was exported: {why}.",
        next_step="materialize the asset again, then export it again.",
    )


def _files(artifact: Artifact) -> list[tuple[str, FileEntry]]:
    files = sorted(artifact.manifest.files.items())
    return [(name, entry) for name, entry in files if not name.startswith(_NOT_SENT)]


def _header(artifact: Artifact, name: str, entry: FileEntry) -> bytes:
    """Without the user of this machine, and with the time at which the artifact was made."""
    member = tarfile.TarInfo(name)
    member.size = entry.bytes
    member.mtime = int(datetime.fromisoformat(artifact.manifest.created_at).timestamp())
    return member.tobuf()


def _padded(size: int, block: int) -> int:
    return size + -size % block
