"""Which devices GPU stages may use, on machines that only seem to have GPUs."""

from pathlib import Path

import pytest

from agent_assets.cli.doctor.examine import examine
from agent_assets.engines.devices import gpu
from agent_assets.engines.devices.gpu import detect_gpus, lease_device
from agent_assets.errors import ConfigError, EngineMissing
from agent_assets.settings import load_settings
from support.command_line import agent_assets, error_of
from support.fake_gpu import ONE, show_gpus

SLICES = "MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f,MIG-GPU-aaaa/7/0"


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
    ("device", "says"),
    [
        ("auto", "no-python-of-gpu does not start"),
        ("gpu", "no-python-of-gpu does not start"),
        ("cpu", "no-python-of-cpu does not start"),
        ("cuda", "or unset it."),
    ],
)
def test_setup_makes_the_environment_that_stages_will_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, says: str
) -> None:
    show_gpus(monkeypatch, tmp_path / "bin", f"echo '{ONE}'")
    # A Python that is not there: everything but the installing.
    absent = {"PYTHON_CPU": "no-python-of-cpu", "PYTHON_GPU": "no-python-of-gpu"}
    engines = {"AGENT_ASSETS_ENGINES": str(tmp_path / "engines")}
    done = agent_assets(tmp_path / "home", "setup", AGENT_ASSETS_DEVICE=device, **absent, **engines)
    assert says in error_of(done)
