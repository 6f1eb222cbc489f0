"""Jobs through a real Dagster: started over GraphQL, followed, cancelled, and still known after a
restart.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import dagster as dg
import httpx
import pytest

from agent_assets.demo.run import seed_sample_elders
from agent_assets.engines.progress_reporter import ProgressReporter
from agent_assets.free_ports import free_port
from agent_assets.planning.history import ELDER_TAG
from agent_assets.services import running_services
from agent_assets.serving.job_progress import Fold, job_progress
from agent_assets.serving.runs import JOB_TAG
from agent_assets.settings import load_settings
from support.waiting import wait_for


def test_progress_is_read_from_the_run_and_the_time_left_only_shrinks(tmp_path: Path) -> None:
    left: list[float | None] = []

    @dg.asset(key=["toy", "sft_adapter"])
    def training(context: dg.AssetExecutionContext) -> None:
        reporter = ProgressReporter(context, folder=None, every_seconds=0)
        for step, eta in ((1, 90.0), (2, 500.0), (3, 10.0), (4, 40.0)):
            reporter.update(
                {
                    "stage": "train",
                    "step": step,
                    "total_steps": 10,
                    "eta_seconds": eta,
                    "epoch": 1.2,
                    "total_epochs": 3,
                }
            )
            now = context.instance.get_run_by_id(
                context.run.run_id
            )  # the context has it as it was before the start
            assert now is not None
            progress = job_progress(context.instance, now, "ada_1", "ada")
            left.append(progress["eta_seconds"])
            assert (progress["status"], progress["stage"]) == ("training", "sft_adapter")
            assert (
                progress["current_step"],
                progress["total_steps"],
                progress["current_epoch"],
                progress["total_epochs"],
            ) == (
                step,
                10,
                2,
                3,
            )

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [training], instance=instance, tags={JOB_TAG: "ada_1", ELDER_TAG: "ada"}
        )
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        done = job_progress(instance, run, "ada_1", "ada")
    known = [value for value in left if value is not None]
    assert len(known) == 4 and known == sorted(known, reverse=True) and known[0] <= 90
    assert (done["status"], done["progress"], done["eta"], done["error"]) == (
        "completed",
        100,
        None,
        None,
    )


def test_when_the_estimate_has_run_out_there_is_none() -> None:
    assert Fold(["sft_adapter"], left=5.0, left_at=time.time() - 60).time_left(time.time()) is None


@pytest.fixture
def machine(
    tmp_path: Path, mongo_uri: str, mongo_db: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], AbstractContextManager[httpx.Client]]:
    """Everything `agent-assets up` starts, as often as wanted, without engines: trainings fail at
    once and say why.
    """
    name = mongo_db.name  # type: ignore[attr-defined]
    quiet = "nightly: {enabled: false}\nwatch: {enabled: false}\n"  # nothing starts on its own
    (tmp_path / "automation.yaml").write_text(quiet, encoding="utf-8")
    variables = {
        "AGENT_ASSETS_HOME": str(tmp_path),
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": name,
        "AGENT_ASSETS_ENGINES": str(tmp_path / "none"),
        "AGENT_ASSETS_DEVICE": "cpu",
        "AGENT_ASSETS_AUTOMATION": str(tmp_path / "automation.yaml"),
    }
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    seed_sample_elders(load_settings(), ["shen-fu"])

    @contextmanager
    def switched_on() -> Iterator[httpx.Client]:
        port, api_port = free_port(), free_port()
        with (
            running_services(load_settings(), port=port, api_port=api_port),
            httpx.Client(base_url=f"http://127.0.0.1:{api_port}", timeout=120) as client,
        ):
            wait_for(lambda: _answers(client), 60)
            yield client

    return switched_on


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_job_from_start_to_failure_survives_restarts(
    machine: Callable[[], AbstractContextManager[httpx.Client]],
) -> None:
    with machine() as up:
        job, progress = _start_a_job_that_fails(up)
    with machine() as again:  # code server, daemon, API: all of it ended and started again
        assert again.get(f"/train/progress/{job}").json() == progress


def _start_a_job_that_fails(up: httpx.Client) -> tuple[str, object]:
    assert up.get("/health").json()["dependencies"]["dagster"] == "ok"
    assert up.get("/models").json() == {"total": 0, "models": []}
    nobody = up.post("/train/start", json={"elder_id": "nobody"})
    assert nobody.status_code == 404 and "no elder of this id" in nobody.json()["detail"]
    rows = up.get("/export-jsonl/shen-fu", params={"download": 1})  # made for it, by a job
    assert rows.status_code == 200, rows.text
    assert all(json.loads(line)["messages"] for line in rows.text.splitlines())
    made = up.get("/train/progress/elder/shen-fu").json()
    assert (made["status"], made["gate"]) == ("completed", None), made
    assert "did not change" in made["message"]
    where = up.get("/export-jsonl/shen-fu").json()
    assert Path(where["jsonl_path"]).read_text(encoding="utf-8") == rows.text
    # The first training of a new installation makes what all elders share in the same job
    started = up.post("/train/start", json={"elder_id": "shen-fu"}).json()
    assert started["success"] and started["job_id"].startswith("shen-fu_"), started
    assert "base_model" in started["message"] and "release" in started["message"]
    job = started["job_id"]
    active = up.get("/jobs/active").json()
    assert active["total"] == 0 or active["jobs"][0]["job_id"] == job
    wait_for(lambda: up.get(f"/train/progress/{job}").json()["status"] == "failed", 120, every=1)
    progress = up.get(f"/train/progress/{job}").json()
    assert "engine environment" in progress["error"], progress
    text = up.get(f"/train/progress/{job}/events").text
    assert text.startswith("event: progress") and '"status": "failed"' in text
    assert up.get("/train/progress/elder/shen-fu").json()["job_id"] == job
    assert up.get("/train/progress/elder/ben").json()["status"] == "no_training"
    assert up.post(f"/train/cancel/{job}").json()["success"]
    for hostile in ("nothing_1", "..%2F..%2Fetc", "%27%20or%201%3D1", "%24ne", "a%00b"):
        tried = (up.get(f"/train/progress/{hostile}"), up.post(f"/train/cancel/{hostile}"))
        assert {response.status_code for response in tried} <= {404, 422}
        assert up.post("/train/start", json={"elder_id": hostile}).status_code in (404, 422)
    other = free_port()  # another API process: it knows nothing but what Dagster and MongoDB know
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "agent-assets"), "serve", "--port", str(other)],
        env=dict(os.environ),
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{other}", timeout=60) as again:
            wait_for(lambda: _answers(again), 60)
            assert again.get(f"/train/progress/{job}").json() == progress
    finally:
        process.terminate()
        assert process.wait(60) == 0
    return job, progress


def test_an_address_others_can_reach_needs_a_token(mongo_uri: str, tmp_path: Path) -> None:
    from agent_assets.errors import ConfigError
    from agent_assets.serving import run

    variables = {"MONGODB_URI": mongo_uri, "AGENT_ASSETS_HOME": str(tmp_path)}
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(ConfigError, match="nobody would need a token"),
    ):
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(run, "DATABASE", "agent_assets_test_none")
        run.serve_api(load_settings(), host="0.0.0.0", port=free_port())
