"""Traces of real rollouts: what happened below what, found by elder, gone with the elder, never in
the way of work.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openai import APIStatusError

from agent_assets.agent.chat_model import OpenAIChatModel
from agent_assets.agent.loop import Limits, run_agent
from agent_assets.agent.trace_store import list_traces, read_trace
from agent_assets.agent.weave_tracing import TraceFigures, WeaveTracing
from agent_assets.cli.main import commands
from agent_assets.conversations.items import EvalItem
from agent_assets.conversations.messages import Message
from agent_assets.evaluation.metrics import ItemResult
from agent_assets.evaluation.runner import run_items
from agent_assets.serving_settings import AnswerConfig
from agent_assets.store.artifact_store import ArtifactStore
from agent_assets.store.erasable_data import (
    elder_data_locations,
    erase_locations,
    trace_file,
    trace_files,
)
from support.loop_doubles import Server, Tools
from support.synthesis_cases import PRICE, TODAY

SECRET = "I was born by the river"
CALL = {"id": "c1", "type": "function", "function": {"name": "get_today", "arguments": "{}"}}
ITEM = EvalItem("i1", "tool", "seen", "en", "What day is it?", "", [], "", [], [], "get_today")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


def model(server: Server) -> OpenAIChatModel:
    return OpenAIChatModel(
        base_url=f"http://127.0.0.1:{server.server_port}/v1",
        api_key="secret-key",
        model="m",
        max_retries=0,
    )


def evaluate(
    server: Server, path: Path, elder: str, reports: list[str]
) -> tuple[list[ItemResult], TraceFigures]:
    server.queue += [{"content": "", "tool_calls": [CALL]}, {"content": SECRET}]
    attributes = {"pipeline": "p", "elder": elder, "run_id": "run-1"}
    with WeaveTracing().session(path, attributes, report=reports.append) as figures:
        results = asyncio.run(
            run_items(model(server), Tools(), [PRICE, TODAY], [ITEM], AnswerConfig())
        )
    return results, figures


def test_an_evaluation_is_a_tree_of_rollouts_model_and_tool_calls(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    reports: list[str] = []
    results, figures = evaluate(server, trace_file(store, "p", "anna"), "anna", reports)
    evaluate(server, trace_file(store, "p", "bert"), "bert", reports)
    assert (results[0].answer, figures, reports) == (SECRET, TraceFigures(spans=5), [])

    (line,) = list_traces(trace_file(store, "p", "anna"))
    assert (line.kind, line.steps, line.failed, line.run_id) == ("evaluation", 5, 0, "run-1")
    calls: list[Any] = list(read_trace(trace_file(store, "p", "anna"), line.trace_id))
    above = {call.id: call.kind for call in calls}
    assert [(call.kind, above.get(call.parent_id or "")) for call in calls] == [
        ("evaluation", None),
        ("rollout", "evaluation"),
        ("llm_call", "rollout"),
        ("tool_call", "rollout"),
        ("llm_call", "rollout"),
    ]
    assert calls[-1].output["choices"][0]["message"]["content"] == SECRET
    assert calls[-1].inputs["messages"][-1]["role"] == "tool"
    assert all(call.attributes["elder"] == "anna" and call.ended_at for call in calls)
    assert b"secret-key" not in trace_file(store, "p", "anna").read_bytes()

    monkeypatch.setenv("AGENT_ASSETS_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    listed = CliRunner().invoke(commands, ["traces", "--elder", "anna"])
    assert "p/anna" in listed.output
    assert "p/bert" not in listed.output
    shown = CliRunner().invoke(commands, ["traces", line.trace_id])
    assert shown.output.splitlines()[0].startswith("evaluation")
    assert SECRET in shown.output

    erase_locations(store, elder_data_locations(store, tmp_path / "logs", "anna"))
    assert trace_files(store) == [trace_file(store, "p", "bert")]
    left = [path for path in (tmp_path / "store").rglob("*") if "anna" in path.name]
    assert left == []


def test_a_failed_model_call_is_recorded_and_passes_through(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    server.queue.append(500)
    with (
        pytest.raises(APIStatusError),
        WeaveTracing().session(path, {"run_id": "r"}, report=print),
    ):
        asyncio.run(run_agent(model(server), Tools(), [Message("user", "q")], [], Limits()))
    (line,) = list_traces(path)
    assert (line.kind, line.steps, line.failed) == ("rollout", 2, 2)


def test_a_trace_store_that_cannot_be_written_loses_traces_not_work(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    reports: list[str] = []
    results, figures = evaluate(server, tmp_path / "file" / "t.sqlite", "anna", reports)
    assert results[0].answer == SECRET
    assert figures.lost > 0
    assert len(reports) == 1
    assert "were lost" in reports[0]
    assert SECRET not in reports[0]


def test_nothing_is_written_where_nobody_traces(server: Server, tmp_path: Path) -> None:
    server.queue.append({"content": SECRET})
    rollout = asyncio.run(run_agent(model(server), Tools(), [Message("user", "q")], [], Limits()))
    assert rollout.messages[-1].content == SECRET
    assert list(tmp_path.iterdir()) == []
