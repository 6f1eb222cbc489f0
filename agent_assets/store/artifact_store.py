"""The artifact store: `<root>/<pipeline>/<artifact>/<partition or _>/<fingerprint>/`.

A folder that exists is complete: files are written to a temporary folder, flushed to disk and
renamed in one step. On an object store, which has no rename, the manifest is uploaded last and a
folder without one does not count.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from pydantic import ValidationError

from agent_assets.errors import CorruptArtifact, StoreError
from agent_assets.pickled_weights import NEXT_STEP, pickled_files
from agent_assets.store.disk import disk_errors, file_lock, in_use, sync
from agent_assets.store.manifest import MANIFEST_FILE, Manifest, file_names, hash_file, list_files

STAGING = ".staging"
CORRUPT = ".corrupt"
_LOCKS = ".locks"
UNPARTITIONED = "_"


@dataclass(frozen=True)
class ArtifactKey:
    """Which artifact: the asset of a pipeline, and the partition it belongs to (None for an
    unpartitioned one).
    """

    pipeline: str
    asset: str
    partition: str | None = None

    @property
    def folder(self) -> str:
        """Path of all versions of this artifact, relative to the root of the store."""
        return f"{self.pipeline}/{self.asset}/{self.partition or UNPARTITIONED}"

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.asset}" + (f"[{self.partition}]" if self.partition else "")


@dataclass(frozen=True)
class Artifact:
    """A complete artifact on local disk: `path` holds its files, `manifest` what is known about
    it.
    """

    key: ArtifactKey
    manifest: Manifest
    path: Path

    @property
    def broken_checks(self) -> list[str]:
        """Names of the blocking checks this artifact failed when it was built."""
        return [check.name for check in self.manifest.checks if check.blocking and not check.passed]


class ArtifactStore:
    """Finds, verifies and commits artifacts below one root, a local folder or any fsspec URL.

    Args:
        root: folder or URL (`s3://bucket/prefix`).
        cache: local folder where artifacts of a remote root are downloaded to; unused for a local
            root.
    """

    def __init__(self, root: str, *, cache: Path | None = None) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(root)
        except (
            ValueError,
            ImportError,
        ) as error:
            # An unknown protocol, or one whose package is not installed
            raise StoreError(
                f"The store {root} cannot be opened: {error}.",
                next_step="correct AGENT_ASSETS_STORE, or install the package (for s3://: pip "
                "install "
                "'agent-assets[s3]').",
            ) from error
        self._root = self._root.rstrip("/")
        self.local = "file" in (
            self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        )
        if not self.local and cache is None:
            raise StoreError(
                f"The store {root} is remote and no local cache folder was given.",
                next_step="set AGENT_ASSETS_HOME to a folder with room for the artifacts in use.",
            )
        self._workspace = Path(self._root) if self.local else Path(str(cache))

    @property
    def filesystem(self) -> fsspec.AbstractFileSystem:
        """Where `root` lies."""
        return self._fs

    @property
    def root(self) -> str:
        """Folder of all artifacts in `filesystem`, without a slash at its end."""
        return str(self._root)

    @property
    def workspace(self) -> Path:
        """Local folder with staged, locked and damaged artifacts: the root itself, or the cache of
        a remote one.
        """
        return self._workspace

    def temporary_folder(self, key: ArtifactKey) -> Path:
        """Where everything unfinished about one agent lies on this machine, so that it can be found
        by the elder.
        """
        return self._workspace / STAGING / key.pipeline / (key.partition or UNPARTITIONED)

    def find(self, key: ArtifactKey, fingerprint: str) -> Artifact | None:
        """The artifact built from `fingerprint`, or None. Reads the manifest only.

        Raises:
            CorruptArtifact: its folder is there but its manifest cannot be read.
        """
        remote = f"{self._root}/{key.folder}/{fingerprint}"
        if not self._fs.exists(f"{remote}/{MANIFEST_FILE}"):
            if self.local and Path(remote).exists():
                raise CorruptArtifact(
                    f"{key} {fingerprint} has no manifest.",
                    next_step="materialize the asset again; it is rebuilt.",
                )
            return None
        path = Path(remote) if self.local else self._download(key, fingerprint, remote)
        try:
            manifest = Manifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
        except ValidationError as error:
            raise CorruptArtifact(
                f"The manifest of {key} {fingerprint} cannot be read ({error.error_count()} "
                "problems).",
                next_step="materialize the asset again; it is rebuilt.",
            ) from error
        return Artifact(key=key, manifest=manifest, path=path)

    def adopt(self, key: ArtifactKey, fingerprint: str) -> Artifact | None:
        """Take over an artifact that another pipeline built from the same fingerprint, by hard
        links; None if none did.

        Two pipelines on one base model share its conversion this way. The fingerprint holds the
        partition, so one elder's artifact can never become another's.
        """
        if not self.local:
            return None
        pattern = f"*/{key.asset}/{key.partition or UNPARTITIONED}/{fingerprint}"
        for folder in sorted(self._workspace.glob(pattern)):
            try:
                other = self.find(
                    ArtifactKey(folder.parts[-4], key.asset, key.partition), fingerprint
                )
                if other is None or other.key == key:
                    continue
                self.verify(other)
            except CorruptArtifact:
                continue  # its own pipeline reports and rebuilds it; here it is as good as absent
            final = self._workspace / key.folder / fingerprint
            partial = self.temporary_folder(key) / f"adopt-{uuid.uuid4().hex}"
            with disk_errors(self._workspace):
                shutil.copytree(other.path, partial, copy_function=os.link)
                (partial / MANIFEST_FILE).unlink()
            manifest = other.manifest.model_copy(update={"pipeline": key.pipeline})
            return (
                self.commit(key, partial, manifest)
                if not final.exists()
                else self.find(key, fingerprint)
            )
        return None

    def verify(self, artifact: Artifact) -> None:
        """Compare every file with the manifest.

        Raises:
            CorruptArtifact: a file is missing, was added, or its content differs; names the files.
        """
        recorded = artifact.manifest.files
        present = set(file_names(artifact.path))
        wrong = sorted(recorded.keys() ^ present)
        wrong += [
            n
            for n in sorted(recorded.keys() & present)
            if hash_file(artifact.path / n) != recorded[n]
        ]
        if wrong:
            raise CorruptArtifact(
                f"{artifact.key} {artifact.manifest.fingerprint} differs from its manifest: "
                f"{', '.join(wrong[:5])}.",
                next_step="materialize the asset again; it is rebuilt and the damaged copy is "
                "set aside.",
            )

    @contextmanager
    def staging(self, key: ArtifactKey, fingerprint: str) -> Iterator[Path]:
        """A temporary folder to build an artifact in; removed when the block ends without `commit`.

        Builders of the same fingerprint take turns, so that the second finds the work of the first.
        """
        folder = (
            self.temporary_folder(key)
            / f"{key.asset}-{fingerprint[:12]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        )
        with self.lock(key, fingerprint), disk_errors(self._workspace):
            folder.mkdir(parents=True)
            try:
                with in_use(folder):
                    yield folder
            finally:
                if folder.exists():
                    shutil.rmtree(folder)

    def commit(self, key: ArtifactKey, staging: Path, manifest: Manifest) -> Artifact:
        """Make a staged folder the artifact of `manifest.fingerprint`. Atomic: readers see all of
        it or nothing.

        Raises:
            StoreError: it holds a pickle: an artifact is data, and data runs nothing.
        """
        if pickled := pickled_files(staging):
            raise StoreError(
                f"{key} holds {pickled[0]}, a pickle, which can run programs when it is read.",
                next_step=NEXT_STEP,
            )
        with disk_errors(self._workspace):
            (staging / MANIFEST_FILE).write_text(
                manifest.model_dump_json(indent=2) + "\n", encoding="utf-8"
            )
            for path in [*list_files(staging), staging / MANIFEST_FILE]:
                sync(path)
            final = self._workspace / key.folder / manifest.fingerprint
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                self._set_aside(final)
            if not self.local:
                self._upload(staging, f"{self._root}/{key.folder}/{manifest.fingerprint}")
            staging.rename(final)
            sync(final.parent)
        return Artifact(key=key, manifest=manifest, path=final)

    def set_aside(self, key: ArtifactKey, fingerprint: str) -> Path:
        """Move a damaged artifact out of the way so that it is rebuilt; nothing is deleted. Returns
        where it lies.
        """
        if not self.local:
            remote = f"{self._root}/{key.folder}/{fingerprint}"
            self._fs.mv(
                remote,
                f"{self._root}/{CORRUPT}/{key.folder}/{fingerprint}-{time.time_ns()}",
                recursive=True,
            )
        return self._set_aside(self._workspace / key.folder / fingerprint)

    def versions(self, key: ArtifactKey) -> list[str]:
        """Fingerprints of all complete versions of an artifact, sorted by name."""
        folder = f"{self._root}/{key.folder}"
        if not self._fs.exists(folder):
            return []
        names = [
            str(path).rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(folder, detail=False)
        ]
        return sorted(name for name in names if self._fs.exists(f"{folder}/{name}/{MANIFEST_FILE}"))

    def _set_aside(self, folder: Path) -> Path:
        target = (
            self._workspace / CORRUPT / f"{folder.relative_to(self._workspace)}-{time.time_ns()}"
        )
        with disk_errors(self._workspace):
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
        return target

    def _download(self, key: ArtifactKey, fingerprint: str, remote: str) -> Path:
        final = self._workspace / key.folder / fingerprint
        if (final / MANIFEST_FILE).exists():
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(self._workspace):
            partial = Path(tempfile.mkdtemp(prefix=f"{fingerprint[:12]}-", dir=final.parent))
            with in_use(partial):
                self._fs.get(f"{remote}/", f"{partial}/", recursive=True)
            if final.exists():  # another process was faster; both copies are the same bytes
                shutil.rmtree(partial)
            else:
                partial.rename(final)
        return final

    def _upload(self, staging: Path, remote: str) -> None:
        for path in list_files(staging):
            self._fs.put_file(str(path), f"{remote}/{path.relative_to(staging).as_posix()}")
        self._fs.put_file(str(staging / MANIFEST_FILE), f"{remote}/{MANIFEST_FILE}")

    @contextmanager
    def lock(self, key: ArtifactKey, fingerprint: str) -> Iterator[None]:
        """Hold one version alone: who builds it, or removes it."""
        path = (
            self._workspace / _LOCKS / (f"{key.folder}/{fingerprint}".replace("/", "__") + ".lock")
        )
        with disk_errors(self._workspace):
            path.parent.mkdir(parents=True, exist_ok=True)
            held = file_lock(path).acquire()
        with held:
            try:
                yield
            finally:
                # ten thousand elders would leave a file for each version ever built
                path.unlink(missing_ok=True)
