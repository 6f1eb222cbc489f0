"""`agent-assets doctor --gpu` on machines that lack something. That its steps work is seen by
running it, on a CPU with AGENT_ASSETS_DEVICE=cpu.
"""

from pathlib import Path

import pytest

from agent_assets.cli.doctor.gpu import examine_gpu
from agent_assets.cli.finding import Finding
from agent_assets.settings import Settings, load_settings
from support.fake_gpu import ONE, printing_env, show_gpus

SMI = f"case \"$*\" in *memory.total*) echo 81559;; *) echo '{ONE}';; esac"
PACKAGES = ("torch", "ms_swift", "peft", "vllm", "dagster_pipes")


def settings(folder: Path) -> Settings:
    return load_settings(
        {"AGENT_ASSETS_HOME": str(folder / "home"), "AGENT_ASSETS_ENGINES": str(folder / "envs")}
    )


def examined(folder: Path) -> list[Finding]:
    return list(examine_gpu(settings(folder)))


def test_without_a_gpu_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = examined(tmp_path)
    assert (finding.state, finding.detail) == ("MISSING", "No GPU was found.")
    assert "AGENT_ASSETS_DEVICE=cpu" in finding.fix


def test_an_environment_that_was_not_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", SMI)
    (finding,) = examined(tmp_path)
    assert "'gpu' is not installed" in finding.detail and "agent-assets setup" in finding.fix


def test_what_cannot_be_imported_is_shown_and_nothing_after_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", SMI)
    printing_env(tmp_path / "envs", "echo 'ImportError: libcudart.so.13' >&2")
    packages = tmp_path / "envs" / "gpu" / "lib" / "python3.12" / "site-packages"
    for name in PACKAGES:
        (packages / f"{name}-1.0.dist-info").mkdir(parents=True)
    gpu, cuda, left = examined(tmp_path)
    assert gpu.ok and gpu.detail == "NVIDIA H100 80GB HBM3, 80 GiB"
    assert cuda.detail == "It failed: ImportError: libcudart.so.13"
    assert "python -c" in cuda.fix
    assert left.detail.endswith("base model, train, merge, serve, RL step")
    assert not list((tmp_path / "home" / "logs" / "doctor").glob(".work-*"))
