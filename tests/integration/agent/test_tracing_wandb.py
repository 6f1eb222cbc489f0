"""Traces to W&B, against a server here that speaks its protocol: what arrives, and what happens
when it does not.
"""

import logging
import threading
from functools import partial
from pathlib import Path

import pytest

from agent_assets.agent import weave_tracing
from agent_assets.agent.tracing import span
from agent_assets.agent.weave_erasure import delete_traced_calls, traced_calls
from agent_assets.agent.weave_tracing import TraceFigures, WeaveTracing
from agent_assets.errors import ErasureError
from support.wandb_server import wandb_server

ATTRIBUTES = {"pipeline": "p", "elder": "ada", "run_id": "run-1"}


def work(folder: Path, reports: list[str], steps: int = 2) -> TraceFigures:
    """A rollout of some model calls, traced to W&B."""
    resource = WeaveTracing(wandb_project="town/agents")
    with (
        resource.session(folder / "traces.sqlite", ATTRIBUTES, report=reports.append) as figures,
        span("rollout", lambda: {"question": "What day is it?"}) as rollout,
    ):
        for step in range(steps):
            inputs = {"messages": [{"role": "user", "content": f"四川 {step}"}]}
            with span("llm_call", partial(dict, inputs)) as call:
                call.finish({"content": "Monday."})
        rollout.finish({"answer": "Monday."})
    return figures


def test_every_step_arrives_below_its_rollout_with_the_elder_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    before = set(threading.enumerate())
    monkeypatch.chdir(tmp_path)
    with wandb_server(monkeypatch) as server:
        figures = work(tmp_path, reports)
        again = work(tmp_path, reports)
    assert figures == again == TraceFigures(spans=3) and not reports
    rollout, *calls = sorted(server.calls[:3], key=lambda call: call["started_at"])
    assert {call["parent_id"] for call in calls} == {rollout["id"]} and rollout["parent_id"] is None
    assert [call["inputs"]["messages"][0]["content"] for call in calls] == ["四川 0", "四川 1"]
    assert calls[0]["output"] == {"content": "Monday."} and ":llm_call:" in calls[0][
        "op_name"
    ].replace("/", ":")
    assert all(ATTRIBUTES.items() <= call["attributes"].items() for call in server.calls)
    assert len(server.calls) == 6
    assert not list(tmp_path.iterdir())  # nothing is kept here
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in left if "process_request" not in name] == []


def test_a_wrong_key_is_said_once_and_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    with wandb_server(monkeypatch) as server:
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
        figures = work(tmp_path, reports)
    assert not server.calls and figures == TraceFigures()
    assert len(reports) == 1 and reports[0].startswith(
        "Nothing is traced: the trace backend refused"
    )
    assert "xxx" not in reports[0]


@pytest.mark.parametrize("broken", ["/v2", "/obj"])
def test_what_wandb_does_not_take_is_counted_and_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    monkeypatch.setattr(weave_tracing, "_SEND_SECONDS", 8.0)
    monkeypatch.chdir(tmp_path)
    reports: list[str] = []
    with wandb_server(monkeypatch) as server, caplog.at_level(logging.CRITICAL, "weave"):
        server.broken = (broken,)
        figures = work(tmp_path, reports)
    assert not server.calls and figures.spans == 3 and figures.lost > 0
    assert (
        len(reports) == 1
        and "of 3 traced steps were lost" in reports[0]
        and "四川" not in reports[0]
    )
    assert not list(tmp_path.iterdir())


def test_calls_of_an_erased_elder_are_deleted_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server(monkeypatch) as server:
        work(tmp_path, [])
        monkeypatch.setitem(ATTRIBUTES, "elder", "ben")
        work(tmp_path, [])
        assert traced_calls("town/agents", "eve") == []
        calls = traced_calls("town/agents", "ada")
        assert len(calls) == 3
        delete_traced_calls("town/agents", calls)
        assert {call["attributes"]["elder"] for call in server.calls} == {"ben"}
        assert traced_calls("town/agents", "ada") == []
        monkeypatch.setenv("WANDB_API_KEY", "z" * 40)
        with pytest.raises(ErasureError, match="W&B does not let traces"):
            traced_calls("town/agents", "ben")
