"""Running an engine program: results, live progress, failures, limits."""

import json
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from agent_assets.engines.environment import EngineEnv, engine_environment, find_engine_env
from agent_assets.engines.launch.process import EngineLimits
from agent_assets.engines.launch.step_program import EngineResult
from agent_assets.errors import (
    AgentAssetsError,
    BaseModelError,
    EngineFailed,
    EngineMissing,
    EngineOutOfMemory,
    EngineTimeout,
    StoreFull,
)
from support.launching import (
    CORE,
    COUNTS,
    FAILS,
    HANGS,
    ROOMY,
    CountsParams,
    CountsResult,
    FailsParams,
    HangsParams,
    alive,
    engine_asset,
    read_pids,
)
from support.waiting import wait_for


def observations(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    records = instance.fetch_observations(dg.AssetKey(["pipeline", "trained"]), limit=100).records
    observed = [record.asset_observation for record in reversed(records)]
    return [
        {name: value.value for name, value in each.metadata.items()}
        for each in observed
        if each is not None
    ]


def test_result_and_a_long_message_come_back(tmp_path: Path) -> None:
    results: list[EngineResult[CountsResult]] = []
    asset = engine_asset(COUNTS, CountsParams(3, 0, 200_000), tmp_path / "work", results=results)
    assert dg.materialize([asset], instance=dg.DagsterInstance.ephemeral()).success
    (result,) = results
    assert result.result.sum == 3
    assert len(result.result.padding) == 200_000
    assert result.peak_memory_bytes > 1_000_000
    assert result.log_path == tmp_path / "work" / "engine.log"
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "engine.log",
        "progress.json",
    ]


def test_progress_is_seen_before_the_end(tmp_path: Path) -> None:
    instance = dg.DagsterInstance.ephemeral()
    asset = engine_asset(COUNTS, CountsParams(40, 0.1), tmp_path)
    run = threading.Thread(target=dg.materialize, args=([asset],), kwargs={"instance": instance})
    run.start()
    wait_for(lambda: len(observations(instance)) >= 3)
    observed = observations(instance)
    assert run.is_alive()
    shown = json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))
    run.join(timeout=60)
    assert observed[-1]["stage"] == shown["stage"] == "counting"
    assert observed[-1].keys() >= {"step", "total_steps", "loss", "eta_seconds", "tokens_per_s"}
    assert 0 < observed[-1]["step"] < 39
    assert "sample" not in observed[-1]
    final = observations(instance)
    assert final[-1]["step"] == 39
    assert len(final) < 40


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("reported", BaseModelError, "the weights changed"),
        ("quoting", EngineFailed, "ValueError at support/programs/fails.py line"),
        ("full disk", StoreFull, "no space left"),
        ("signal", EngineFailed, "SIGSEGV"),
        ("silent", EngineFailed, "without a result"),
    ],
)
def test_failures_say_what_happened(
    tmp_path: Path, how: str, error: type[AgentAssetsError], says: str
) -> None:
    asset = engine_asset(FAILS, FailsParams(how), tmp_path / "work", failed_logs=tmp_path / "kept")
    with pytest.raises(error, match=says) as caught:
        dg.materialize([asset], instance=dg.DagsterInstance.ephemeral())
    assert caught.value.next_step
    (log,) = (tmp_path / "kept").iterdir()
    if error is EngineFailed:
        assert str(log) in caught.value.next_step


def test_rows_quoted_by_an_exception_stay_in_the_log_file(tmp_path: Path) -> None:
    instance = dg.DagsterInstance.ephemeral()
    asset = engine_asset(FAILS, FailsParams("quoting"), tmp_path)
    result = dg.materialize([asset], instance=instance, raise_on_error=False)
    assert not result.success
    events = "".join(str(record) for record in instance.all_logs(result.run_id))
    assert "ValueError" in events
    assert "bicycle" not in events
    assert "bicycle" in (tmp_path / "engine.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("limits", "size", "error"),
    [
        (EngineLimits(seconds=2, memory_bytes=ROOMY.memory_bytes), 0, EngineTimeout),
        (EngineLimits(seconds=60, memory_bytes=300 * 2**20), 400 * 2**20, EngineOutOfMemory),
    ],
)
def test_a_passed_limit_ends_the_program_and_its_children(
    tmp_path: Path, limits: EngineLimits, size: int, error: type[AgentAssetsError]
) -> None:
    pids = tmp_path / "pids"
    asset = engine_asset(HANGS, HangsParams(pids, size), tmp_path, limits=limits)
    with pytest.raises(error, match="limit"):
        dg.materialize([asset], instance=dg.DagsterInstance.ephemeral())
    assert not any(alive(pid) for pid in read_pids(pids))


def test_a_missing_environment_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="'cpu' is not installed") as caught:
        find_engine_env("cpu", tmp_path)
    assert "agent-assets setup" in str(caught.value.next_step)
    (tmp_path / "cpu" / "bin").mkdir(parents=True)
    (tmp_path / "cpu" / "bin" / "python").symlink_to(CORE.python)
    assert find_engine_env("cpu", tmp_path) == EngineEnv("cpu", tmp_path / "cpu" / "bin" / "python")


def test_an_engine_sees_no_secrets() -> None:
    ours = {
        "PATH": "/bin",
        "MONGODB_URI": "mongodb://u:p@h",
        "OPENAI_API_KEY": "k",
        "DAGSTER_HOME": "/d",
        "HF_HOME": "/h",
    }
    environment = engine_environment({"CUDA_VISIBLE_DEVICES": ""}, source=ours)
    assert environment["PATH"] == "/bin"
    assert environment["HF_HOME"] == "/h"
    assert not environment.keys() & {"MONGODB_URI", "OPENAI_API_KEY", "DAGSTER_HOME"}
