"""Bundles: what was packed comes out as it was, and nothing else comes in."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_assets.errors import ExportError, ReleaseError
from agent_assets.export.bundle import export_bundle, import_bundle
from support.export_world import PROMPT, ExportWorld, make_export_world

Files = dict[str, bytes]


@pytest.fixture
def world(tmp_path: Path) -> ExportWorld:
    return make_export_world(tmp_path / "home")


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A pair as our documentation makes it."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    for arguments in (
        ["genpkey", "-algorithm", "ed25519", "-out", str(private)],
        ["pkey", "-in", str(private), "-pubout", "-out", str(public)],
    ):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    return private, public


def repacked(bundle: Path, change: Callable[[Files], object]) -> Path:
    """A copy of a bundle, its files changed by somebody on the way."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    copy = bundle.with_name("changed.zip")
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return copy


def test_a_signed_bundle_comes_out_as_it_was_packed(world: ExportWorld, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path, "family")
    bundle = export_bundle(world.settings, "ada", out=None, key=private)
    assert bundle.is_relative_to(world.home / "exports"), "where an erasure finds it"
    assert list(bundle.parent.iterdir()) == [bundle], "nothing half done beside it"

    folder, manifest, signed = import_bundle(
        world.settings, bundle, out=tmp_path / "in", key=public
    )

    assert signed
    assert manifest.agent == "elder_companion/ada"
    assert manifest.base["weights"] == "tiny"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "export.json",
        "report/report.html",
        "report/report.json",
        "system_prompt.txt",
        "tool_schema.json",
    }
    assert (folder / "system_prompt.txt").read_text(encoding="utf-8") == PROMPT
    assert "search_memories" in (folder / "tool_schema.json").read_text(encoding="utf-8")


def test_the_same_release_gives_the_same_bytes(world: ExportWorld, tmp_path: Path) -> None:
    first = export_bundle(world.settings, "ada", out=tmp_path / "a.zip", key=None)
    second = export_bundle(world.settings, "ada", out=tmp_path / "b.zip", key=None)
    assert first.read_bytes() == second.read_bytes()


def another_hash(files: Files) -> None:
    manifest = json.loads(files["export.json"])
    manifest["files"]["../../owned"] = manifest["files"]["system_prompt.txt"]
    files["export.json"] = json.dumps(manifest).encode()
    files["../../owned"] = files["system_prompt.txt"]


def named(files: Files, name: str) -> None:
    files["export.json"] = json.dumps(json.loads(files["export.json"]) | {"name": name}).encode()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda f: f.update({"system_prompt.txt": b"You are Eve."}),
            "system_prompt.txt, which was",
        ),
        (lambda f: f.update({"adapter/adapter_config.json": b"{}\n" * 10**6}), "which was changed"),
        (lambda f: f.pop("adapter/adapter_config.json"), "lacks adapter/adapter_config.json"),
        (lambda f: f.update({"adapter/more.py": b""}), "holds adapter/more.py, which its manifest"),
        (lambda f: f.update({"../out": b""}), "leads out of its folder"),
        (lambda f: f.update({"/etc/out": b""}), "leads out of its folder"),
        (lambda f: f.update({"a\\..\\out": b""}), "leads out of its folder"),
        (lambda f: f.update({"C:/out": b""}), "leads out of its folder"),
        (another_hash, "leads out of its folder"),
        (lambda f: f.pop("export.json"), "has no export.json"),
        (lambda f: f.update({"export.json": b"[]"}), "is no manifest of an export"),
        (lambda f: named(f, "../../out"), "is no manifest of an export"),
        (lambda f: named(f, ".."), "is no manifest of an export"),
    ],
)
def test_a_bundle_that_was_changed_is_refused(
    world: ExportWorld, tmp_path: Path, change: Callable[[Files], object], problem: str
) -> None:
    bundle = export_bundle(world.settings, "ada", out=tmp_path / "ada.zip", key=None)
    target = tmp_path / "deep" / "in"
    with pytest.raises(ExportError, match=problem):
        import_bundle(world.settings, repacked(bundle, change), out=target, key=None)
    assert not target.exists()
    assert not list(tmp_path.rglob("*out")) and not list(tmp_path.rglob("owned"))


def test_a_file_packed_twice_and_a_link_are_refused(world: ExportWorld, tmp_path: Path) -> None:
    bundle = export_bundle(world.settings, "ada", out=tmp_path / "ada.zip", key=None)
    twice = Path(shutil.copy(bundle, tmp_path / "twice.zip"))
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("system_prompt.txt", PROMPT)
    with pytest.raises(ExportError, match="holds a file twice"):
        import_bundle(world.settings, twice, out=tmp_path / "in", key=None)
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    linked = Path(shutil.copy(bundle, tmp_path / "linked.zip"))
    with zipfile.ZipFile(linked, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ExportError, match="holds a link"):
        import_bundle(world.settings, linked, out=tmp_path / "in", key=None)


def test_only_the_key_that_signed_is_taken(world: ExportWorld, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path, "family")
    _, others = make_keys(tmp_path, "stranger")
    signed = export_bundle(world.settings, "ada", out=tmp_path / "signed.zip", key=private)
    plain = export_bundle(world.settings, "ada", out=tmp_path / "plain.zip", key=None)

    def all_made_anew(files: Files) -> None:
        manifest = json.loads(files["export.json"])
        manifest["agent"] = "elder_companion/eve"
        files["export.json"] = json.dumps(manifest).encode()

    for bundle, key, problem in (
        (signed, others, "was not signed with that key"),
        (plain, public, "is not signed"),
        (repacked(signed, all_made_anew), public, "was not signed with that key, or was changed"),
        (signed, private, "no public Ed25519 key"),
        (signed, tmp_path / "nowhere.pem", "cannot be read"),
    ):
        with pytest.raises(ExportError, match=problem):
            import_bundle(world.settings, bundle, out=tmp_path / "in", key=key)
    assert not (tmp_path / "in").exists()


def test_what_is_no_bundle_is_refused(world: ExportWorld, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello", encoding="utf-8")
    for name, problem in (("text.zip", "cannot be read as a zip"), ("none.zip", "is not there")):
        with pytest.raises(ExportError, match=problem):
            import_bundle(world.settings, tmp_path / name, out=tmp_path / "in", key=None)


def test_nothing_is_overwritten_and_nothing_unreleased_goes_out(
    world: ExportWorld, tmp_path: Path
) -> None:
    bundle = export_bundle(world.settings, "ada", out=None, key=None)
    with pytest.raises(ExportError, match="is there already"):
        export_bundle(world.settings, "ada", out=bundle, key=None)
    (tmp_path / "in").mkdir()
    with pytest.raises(ExportError, match="is there already"):
        import_bundle(world.settings, bundle, out=tmp_path / "in", key=None)
    with pytest.raises(ReleaseError, match="There is no release of 'eve'"):
        export_bundle(world.settings, "eve", out=None, key=None)
