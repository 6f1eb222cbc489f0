"""Jobs among many open runs, of an instance in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from agent_assets.pipeline.metadata import plain_metadata
from agent_assets.planning.history import ELDER_TAG, PIPELINE_TAG
from agent_assets.serving import runs
from agent_assets.serving.dagster_web import DagsterWeb
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

    def _stale(self, installation: Any, elder: str, *, everything: bool) -> Any:
        return "elder_companion", elder, ["sft_adapter"], {}

    def _launch(self, pipeline: str, partition: str | None, assets: Any, tags: Any) -> None:
        self.launched.append(partition)


def test_a_training_that_goes_on_is_not_started_twice_however_many_runs_wait(
    instance: dg.DagsterInstance,
) -> None:
    jobs = _Jobs(instance)
    assert "going on already" in jobs.start("ada", everything=False)["message"]
    assert "going on already" in jobs.start("elder-0", everything=False)["message"]
    assert "started" in jobs.start("eve", everything=False)["message"]
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
    again = jobs.start("ada", everything=False)
    assert again["job_id"] == listed["job_id"]
    assert jobs.latest("nobody") is None


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
        assert latest["gate"] is None and "did not change" in latest["message"]
