"""Which devices GPU stages may use, on machines that only seem to have GPUs."""

import subprocess
from pathlib import Path

import pytest

from agent_assets.cli.doctor.examine import examine
from agent_assets.engines.devices import gpu
from agent_assets.engines.devices.gpu import detect_gpus, lease_device
from agent_assets.errors import ConfigError, EngineMissing
from agent_assets.settings import REPOSITORY, load_settings
from support.fake_gpu import ONE, show_gpus

SLICES = "MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f,MIG-GPU-aaaa/7/0"
SETUP = REPOSITORY / "deploy" / "setup.sh"


def test_slices_of_a_gpu_are_used_as_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin")
    devices = detect_gpus({"CUDA_VISIBLE_DEVICES": SLICES})
    assert [device.environment["CUDA_VISIBLE_DEVICES"] for device in devices] == SLICES.split(",")
    with (
        lease_device(devices, tmp_path, holder="one", timeout_seconds=0) as first,
        lease_device(devices, tmp_path, holder="two", timeout_seconds=0) as two,
    ):
        assert [first.device, two.device] == devices
    assert [device.index for device in detect_gpus({"CUDA_VISIBLE_DEVICES": "GPU-aaaa"})] == ["0"]
    with pytest.raises(ConfigError, match="names '1'"):
        detect_gpus({"CUDA_VISIBLE_DEVICES": "1,0"})


def test_a_driver_that_does_not_answer_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", "exec sleep 60")
    monkeypatch.setattr(gpu, "_QUERY_SECONDS", 0.2)
    with pytest.raises(EngineMissing, match="nvidia-smi did not answer") as caught:
        detect_gpus()
    assert "AGENT_ASSETS_DEVICE" in str(caught.value.next_step)
    home = {"AGENT_ASSETS_HOME": str(tmp_path), "AGENT_ASSETS_ENGINES": str(tmp_path)}
    for device, optional in (("auto", False), ("cpu", True)):
        findings = examine(load_settings(home | {"AGENT_ASSETS_DEVICE": device}))
        (gpu_finding,) = [finding for finding in findings if finding.name == "GPU"]
        assert (gpu_finding.ok, gpu_finding.optional) == (
            False,
            optional,
        ) and "did not answer" in gpu_finding.detail


@pytest.mark.parametrize(
    ("device", "ending"),
    [("auto", "gpu"), ("gpu", "gpu"), ("cpu", "cpu"), ("cuda", "or unset it.")],
)
def test_setup_makes_the_environment_that_stages_will_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, ending: str
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", f"echo '{ONE}'")
    monkeypatch.setenv("AGENT_ASSETS_DEVICE", device)
    # Everything but the installing.
    text = SETUP.read_text(encoding="utf-8").replace('cd "$(dirname "$0")/.."', f"cd {REPOSITORY}")
    start, end = text.split("\ncore\n")
    stubs = "core() { :; }\nengine_cpu() { echo cpu; }\nengine_gpu() { echo gpu; }\n"
    done = subprocess.run(
        ["bash", "-c", f"{start}\n{stubs}core\n{end}"], capture_output=True, text=True, check=False
    )
    assert (done.stdout + done.stderr).strip().endswith(ending)
