"""Jobs among many open runs, of an instance in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from agent_assets.pipeline.metadata import plain_metadata
from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG
from agent_assets.runs.stage_seconds import StageSeconds
from agent_assets.serving import runs
from agent_assets.serving.dagster_web import DagsterWeb
from agent_assets.serving.job_assets import JobAssets, Wish
from agent_assets.serving.job_progress import Fold
from agent_assets.serving.jobs import Jobs
from agent_assets.serving.seals import Seal
from agent_assets.settings import load_settings


@dg.asset
def something() -> None:
    pass


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Ada's training goes on, and more runs wait than are read at once."""
    monkeypatch.setattr(runs, "MOST", 5)
    with dg.DagsterInstance.ephemeral() as ephemeral:
        _run(ephemeral, "ada", DagsterRunStatus.STARTED)
        for number in range(8):
            _run(ephemeral, f"elder-{number}", DagsterRunStatus.NOT_STARTED)
        yield ephemeral


def _run(instance: dg.DagsterInstance, elder: str, status: DagsterRunStatus) -> None:
    jobs = [dg.define_asset_job("job", [something])]
    job = dg.Definitions(assets=[something], jobs=jobs).resolve_job_def("job")
    tags = {ELDER_TAG: elder, "dagster/partition": elder, PIPELINE_TAG: "elder_companion"}
    instance.create_run_for_job(job, status=status, tags=tags)


class _Jobs(Jobs):
    """Everything is stale; nothing is started."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        super().__init__(load_settings({}), DagsterWeb("http://127.0.0.1:1", Seal(b"key")))
        self._instance = instance
        self.launched: list[str | None] = []

    @contextmanager
    def _installation(self) -> Iterator[Any]:
        yield None

    def _planned(self, installation: Any, elder: str, wish: Wish) -> JobAssets:
        return JobAssets("elder_companion", elder, ["sft_adapter"])

    def _launch(self, planned: JobAssets, tags: dict[str, str]) -> None:
        self.launched.append(planned.partition)


def test_a_training_that_goes_on_is_not_started_twice_however_many_runs_wait(
    instance: dg.DagsterInstance,
) -> None:
    jobs = _Jobs(instance)
    assert "going on already" in jobs.start("ada")["message"]
    assert "going on already" in jobs.start("elder-0")["message"]
    assert "started" in jobs.start("eve")["message"]
    assert jobs.launched == ["eve"]


def test_all_jobs_are_counted_and_those_that_go_on_are_listed_first(
    instance: dg.DagsterInstance,
) -> None:
    jobs = _Jobs(instance)
    total, listed = jobs.active()
    assert (total, len(listed)) == (9, 5)
    assert (listed[0]["elder_id"], listed[0]["status"]) == ("ada", "training")
    total, own = jobs.active("elder-0")
    assert (total, [job["elder_id"] for job in own]) == (1, ["elder-0"])


def test_a_run_that_others_started_is_a_job_in_every_route(instance: dg.DagsterInstance) -> None:
    jobs = _Jobs(instance)
    (listed,) = jobs.active("ada")[1]
    latest = jobs.latest("ada")
    assert latest is not None and latest["job_id"] == listed["job_id"]
    by_id = jobs.progress(listed["job_id"], lambda elder: elder == "ada")
    assert (by_id["elder_id"], by_id["status"]) == ("ada", "training")
    assert jobs.owner(listed["job_id"]) == "ada"
    again = jobs.start("ada")
    assert again["job_id"] == listed["job_id"]
    assert jobs.latest("nobody") is None


def test_the_time_left_is_learned_from_earlier_builds_on_this_device() -> None:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        for device, seconds, outcome in (
            ("gpu", 1.0, "built"),
            ("cpu", 100.0, "built"),
            ("cpu", 300.0, "built"),
            ("cpu", 0.0, "reused"),
        ):
            figures = {"device": device, "seconds": seconds, "outcome": outcome}
            ephemeral.report_runless_asset_event(
                dg.AssetMaterialization(["toy", "sft_adapter"], metadata=plain_metadata(figures))
            )
        keys = [dg.AssetKey(["toy", name]) for name in ("sft_adapter", "eval_report")]
        usual = StageSeconds().of(ephemeral, keys)
    assert usual == {"sft_adapter": 200.0}
    known = Fold(["sft_adapter"], usual, stage="sft_adapter", detail={"step": 1, "total_steps": 4})
    known.estimate(1000.0)
    assert known.time_left(1000.0) == 150.0
    unknown = Fold(["sft_adapter", "eval_report"], usual, stage="sft_adapter")
    unknown.estimate(1000.0)
    assert unknown.time_left(1000.0) is None  # nobody knows how long the evaluation takes


@dg.asset(key=["toy", "release"])
def judged() -> dg.MaterializeResult[object]:
    metadata = {"verdict": "HOLD", "reasons": ["It remembers 0 of 20"], "answers_now": "nothing"}
    return dg.MaterializeResult(metadata=plain_metadata(metadata))


def test_a_completed_job_says_what_the_gate_decided() -> None:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        tags = {ELDER_TAG: "ada"}
        for asset in (judged, something):
            dg.materialize([asset], instance=ephemeral, tags=tags)
            latest = _Jobs(ephemeral).latest("ada")
            assert latest is not None and latest["status"] == "completed"
            if asset is judged:
                assert latest["gate"] == {
                    "decision": "HOLD",
                    "reasons": ["It remembers 0 of 20"],
                    "answers_now": None,
                }
                assert "held back the new version: It remembers" in latest["message"]
                assert latest["message"].endswith("Nobody answers yet.")
        assert (
            latest is not None and latest["gate"] is None and "did not change" in latest["message"]
        )
