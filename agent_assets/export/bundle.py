"""A bundle: one zip file with what makes an agent, besides its base model.

Adapter, system prompt, tool schema, evaluation report, and `export.json` with their hashes; where a
key is given, `export.json.sig` signs that. Nothing is packed smaller: weights would not become so,
and an erasure finds by its bytes a bundle that names the elder. The same release gives the same
bytes.
"""

import shutil
import zipfile
import zlib
from pathlib import Path

from agent_assets.engines.contracts import ADAPTER_FILES
from agent_assets.errors import ExportError
from agent_assets.export.manifest import (
    EXPORT_FILE,
    ExportManifest,
    manifest_bytes,
    manifest_of,
    read_manifest,
)
from agent_assets.export.places import (
    default_folder,
    import_folder,
    new_export_folder,
    scratch_folder,
)
from agent_assets.export.released import ReleasedModel, find_released
from agent_assets.export.signatures import is_signed_by, read_private_key, read_public_key
from agent_assets.export.sizes import check_room, copy_room
from agent_assets.settings import Settings
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.manifest import FileEntry, hash_file

SIGNATURE_FILE = f"{EXPORT_FILE}.sig"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of zip files
_MANIFEST_BYTES = 4 * 2**20
_LINK = 0o120000
_KIND = 0o170000
_ANOTHER_COPY = "ask who sent it for another copy; nothing was unpacked."


def export_bundle(settings: Settings, agent: str, *, out: Path | None, key: Path | None) -> Path:
    """Write the bundle of a released agent; returns the file.

    Args:
        out: the file; None takes one in the home.
        key: private key (PEM) that signs it; None signs nothing.

    Raises:
        ReleaseError: the agent has no release.
        ExportError: the file is there already, or the key is none.
        StoreFull: there is not enough room.
    """
    private = None if key is None else read_private_key(key)
    store = ArtifactStore(settings.store, cache=settings.home / "store-cache")
    released = find_released(store, agent)
    target = out or default_folder(settings.home, released) / f"{released.candidate.name}.zip"
    with scratch_folder(target) as scratch:
        folder = scratch / "files"
        _collect(released, folder)
        manifest = manifest_bytes(manifest_of(released, "bundle", folder))
        (folder / EXPORT_FILE).write_bytes(manifest)
        if private is not None:
            (folder / SIGNATURE_FILE).write_bytes(private.sign(manifest))
        _zip(folder, scratch / "bundle.zip")
        (scratch / "bundle.zip").rename(target)
    return target


def _collect(released: ReleasedModel, folder: Path) -> None:
    report, adapter = released.part("report").path, released.part("adapter").path
    check_room(folder.parent, 2 * copy_room(report, adapter))
    for source, place, names in (
        (adapter, "adapter", ADAPTER_FILES),
        (report, "report", ("report.json", "report.html")),
        (released.part("tools").path, ".", ("tool_schema.json",)),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(source / name, folder / place / name)
    prompt = released.candidate.system_prompt
    (folder / "system_prompt.txt").write_text(prompt, encoding="utf-8")


def _zip(folder: Path, target: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    files = [name for name in names if (folder / name).is_file()]
    # What says whose it is comes first: a reader needs it before all else.
    first = [name for name in (EXPORT_FILE, SIGNATURE_FILE) if name in files]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in [*first, *(name for name in files if name not in first)]:
            entry = zipfile.ZipInfo(name, _FIRST_DAY)
            entry.external_attr = 0o600 << 16
            with (folder / name).open("rb") as source, archive.open(entry, "w") as place:
                shutil.copyfileobj(source, place)


def import_bundle(
    settings: Settings, bundle: Path, *, out: Path | None, key: Path | None
) -> tuple[Path, ExportManifest, bool]:
    """Verify a bundle and unpack it into a new folder.

    Args:
        out: the folder; None takes one in the home.
        key: public key (PEM) that has to have signed it; None checks no signature.

    Returns:
        The folder, the manifest, and whether a signature was checked.

    Raises:
        ExportError: it is no bundle, a file was changed, is missing, came in addition or leads out
            of the folder, or it is not signed by that key.
        StoreFull: there is not enough room.
    """
    public = None if key is None else read_public_key(key)
    try:
        with zipfile.ZipFile(bundle) as archive:
            manifest, content = _manifest(archive, bundle.name)
            if public is not None and not is_signed_by(
                public, _signature(archive, bundle.name), content
            ):
                raise _wrong(bundle.name, "was not signed with that key, or was changed since")
            _check_names(archive, manifest, bundle.name)
            target = out or import_folder(settings.home, manifest.name)
            with new_export_folder(target) as folder:
                check_room(folder, sum(entry.bytes for entry in manifest.files.values()))
                for name, expected in manifest.files.items():
                    _unpack(archive, name, expected, folder / name, bundle.name)
                (folder / EXPORT_FILE).write_bytes(content)
    except FileNotFoundError as error:
        raise _wrong(str(bundle), "is not there") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # NotImplementedError: a way of packing; RuntimeError: a password
        raise _wrong(bundle.name, "cannot be read as a zip file of ours") from error
    return target, manifest, public is not None


def _manifest(archive: zipfile.ZipFile, bundle: str) -> tuple[ExportManifest, bytes]:
    content = _small(archive, EXPORT_FILE, bundle)
    manifest = read_manifest(content, bundle)
    if manifest.form != "bundle":
        raise _wrong(bundle, f"holds a model in the form {manifest.form}, which is no bundle")
    return manifest, content


def _signature(archive: zipfile.ZipFile, bundle: str) -> bytes:
    if SIGNATURE_FILE not in archive.namelist():
        raise _wrong(bundle, "is not signed")
    return _small(archive, SIGNATURE_FILE, bundle)


def _small(archive: zipfile.ZipFile, name: str, bundle: str) -> bytes:
    if name not in archive.namelist():
        raise _wrong(bundle, f"has no {name}")
    with archive.open(name) as file:
        content = file.read(_MANIFEST_BYTES + 1)
    if len(content) > _MANIFEST_BYTES:
        raise _wrong(bundle, f"has a {name} of more than {_MANIFEST_BYTES >> 20} MB")
    return content


def _check_names(archive: zipfile.ZipFile, manifest: ExportManifest, bundle: str) -> None:
    """Every file of the archive is one of the manifest, once, below the folder, and no link."""
    entries = archive.infolist()
    names = [entry.orig_filename for entry in entries]
    for name in [*names, *manifest.files]:
        parts = name.split("/")
        if "\\" in name or "\0" in name or ":" in parts[0] or {"", ".", ".."} & set(parts):
            raise _wrong(bundle, f"holds the name {name[:80]!r}, which leads out of its folder")
    if len(names) != len(set(names)):
        raise _wrong(bundle, "holds a file twice")
    if any(entry.external_attr >> 16 & _KIND == _LINK for entry in entries):
        raise _wrong(bundle, "holds a link")
    listed = {*manifest.files}
    packed = {*names} - {EXPORT_FILE, SIGNATURE_FILE}
    if missing := sorted(listed - packed):
        raise _wrong(bundle, f"lacks {missing[0][:80]}")
    if additional := sorted(packed - listed):
        raise _wrong(bundle, f"holds {additional[0][:80]}, which its manifest does not name")


def _unpack(
    archive: zipfile.ZipFile, name: str, expected: FileEntry, target: Path, bundle: str
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # No more than was promised is read, however much an archive unfolds to.
    left = expected.bytes + 1
    with archive.open(name) as source, target.open("wb") as file:
        while left > 0 and (chunk := source.read(min(left, 1 << 20))):
            file.write(chunk)
            left -= len(chunk)
    if hash_file(target) != expected:
        raise _wrong(bundle, f"holds {name[:80]}, which was changed")


def _wrong(bundle: str, what: str) -> ExportError:
    return ExportError(f"{bundle} {what}.", next_step=_ANOTHER_COPY)
