"""Rows of a tool agent, made on the real energy server and on a server nobody wrote wordings
for.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_assets.agent.mcp.toolbox import open_toolbox
from agent_assets.conversations.formats import to_openai, to_sharegpt, to_swift
from agent_assets.conversations.messages import Message, ToolCall, ToolSchema, canonical_json
from agent_assets.errors import TrainingDataError
from agent_assets.text.answers import states_value
from support.synthesis_runs import DEFS, Made, conversations, make, pipeline_config, script_config

WORDINGS = DEFS / "energy_expert" / "wordings.yaml"
STRANGE = Path(__file__).with_name("strange_server.py")


@pytest.fixture(scope="module")
def energy(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("energy")
    return make(
        folder,
        pipeline_config("energy_expert"),
        templates_file=WORDINGS,
        questions={"languages": ["en", "zh"]},
    )


def trained_calls(rows: Made) -> set[str]:
    calls = [
        call
        for row in conversations(rows)
        for message in row.messages
        for call in message.tool_calls
    ]
    return {canonical_json([call.name, call.arguments]) for call in calls if call.arguments}


def test_rows_are_valid_mixed_and_trace_to_their_questions(energy: Made) -> None:
    assert energy.summary["rejected"] == 0
    assert energy.summary["exchanges"] == sum(len(row["question_ids"]) for row in energy.rows)
    assert max(len(row["question_ids"]) for row in energy.rows) == 4
    ids = [question for row in energy.rows for question in row["question_ids"]]
    assert len(ids) == len(set(ids))
    used = [
        {call.name for message in row.messages for call in message.tool_calls}
        for row in conversations(energy)
    ]
    assert sum(len(names) > 1 for names in used) > len(used) / 2
    assert all(len(row.tools) == 5 for row in conversations(energy))


def test_calls_begin_with_what_the_tool_requires(energy: Made) -> None:
    calls = [
        call
        for row in conversations(energy)
        for message in row.messages
        for call in message.tool_calls
    ]
    orders = {tuple(call.arguments) for call in calls if call.name == "get_lng_price"}
    assert orders == {("region", "start_date"), ("region", "start_date", "end_date")}


def test_results_in_rows_are_what_the_server_answers(energy: Made) -> None:
    row = conversations(energy)[0]
    results = {
        message.tool_call_id: message.content for message in row.messages if message.role == "tool"
    }

    async def ask() -> None:
        async with open_toolbox(pipeline_config("energy_expert")) as toolbox:
            for message in row.messages:
                for call in message.tool_calls:
                    assert (await toolbox.call(call)).text == results[call.id]

    asyncio.run(ask())


def test_held_out_items_share_nothing_with_training(energy: Made) -> None:
    trained = trained_calls(energy)
    texts = {
        message.content
        for row in conversations(energy)
        for message in row.messages
        if message.role == "user"
    }
    assert {item.wording for item in energy.items} == {"seen", "unseen"}
    for item in energy.items:
        assert item.question not in texts
        call = item.gold_calls[0]
        assert canonical_json([call["name"], call["arguments"]]) not in trained
        assert item.gold_values
        assert all(
            states_value(value, item.gold_answer, item.language) for value in item.gold_values
        )


def test_coverage_counts_every_tool_parameter_and_language(energy: Made) -> None:
    coverage = energy.coverage
    assert set(coverage["calls_by_tool"]) == {tool.name for tool in energy.tools}
    assert min(coverage["calls_by_tool"].values()) >= 6
    assert set(coverage["by_language"]) == {"en", "zh"}
    lng = coverage["parameters"]["get_lng_price"]
    assert lng["end_date"]["given"] and lng["end_date"]["left_out"]
    assert set(lng["region"]["values"]) == {
        "North China",
        "East China",
        "South China",
        "Central China",
        "Northwest China",
        "Southwest China",
    }


def test_the_same_inputs_give_the_same_bytes(energy: Made, tmp_path: Path) -> None:
    again = make(
        tmp_path,
        pipeline_config("energy_expert"),
        templates_file=WORDINGS,
        questions={"languages": ["en", "zh"]},
        rows={"concurrency": 2},
    )
    for name in ("train.jsonl", "heldout.jsonl", "rejects.jsonl", "coverage.json"):
        assert (again.folder / name).read_bytes() == (energy.folder / name).read_bytes(), name


class Careless:
    """A teacher that calls the wrong tool, or makes a number up."""

    def __init__(self, *, invent: bool) -> None:
        self._invent = invent

    async def complete(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
        if messages[-1].role == "tool":
            return Message(
                "assistant", "It was 123456.78 yuan." if self._invent else messages[-1].content
            )
        return Message("assistant", "", (ToolCall("get_current_date", {}, "1"),))


def test_calls_that_do_not_answer_the_question_are_rejected(tmp_path: Path) -> None:
    teacher = Careless(invent=False)
    rows = make(
        tmp_path, pipeline_config("energy_expert"), templates_file=WORDINGS, teacher=teacher
    )
    assert {name for name, calls in rows.coverage["calls_by_tool"].items() if calls} == {
        "get_current_date"
    }
    assert rows.coverage["uncovered"]["get_lng_price"].startswith(
        "every question was rejected: teacher_failed"
    )
    assert {reject["reasons"][0]["reason"] for reject in rows.rejects} == {"teacher_failed"}
    assert all(reject["messages"] for reject in rows.rejects)


def test_an_answer_with_an_invented_number_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match='"not_grounded"'):
        make(
            tmp_path,
            pipeline_config("energy_expert"),
            templates_file=WORDINGS,
            teacher=Careless(invent=True),
        )


def test_any_server_gets_rows_from_its_schemas_alone(tmp_path: Path) -> None:
    rows = make(
        tmp_path, script_config(STRANGE), templates_file=None, questions={"languages": ["en", "zh"]}
    )
    covered = {name for name, calls in rows.coverage["calls_by_tool"].items() if calls}
    assert covered == {"import", "distance", "unlock"}
    assert {item.tool for item in rows.items} == covered
    assert set(rows.coverage["uncovered"]) == {"ticket", "refuse"}
    reasons = {
        (reject["id"].split("-")[0], reject["reasons"][0]["reason"]) for reject in rows.rejects
    }
    assert reasons == {("ticket", "observation_differs"), ("refuse", "observation_is_error")}
    conversations(rows)


def test_too_few_rows_is_an_error_that_counts_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r'"too_long":\d+.*Next: ') as error:
        make(
            tmp_path,
            pipeline_config("energy_expert"),
            templates_file=WORDINGS,
            rows={"max_row_tokens": 64, "min_rows": 9},
        )
    assert "2025-" not in str(error.value)


def test_rejects_are_json_lines(tmp_path: Path) -> None:
    rows = make(tmp_path, script_config(STRANGE), templates_file=None)
    for line in (rows.folder / "rejects.jsonl").read_text("utf-8").splitlines():
        assert json.loads(line)["split"] in {"train", "heldout"}


def test_own_rows_instead_of_made_ones(energy: Made, tmp_path: Path) -> None:
    """Rows that were exported in three formats come back: once each, executed again."""
    rows = conversations(energy)[:12]
    wrong = json.dumps(to_swift(rows[0])).replace("2025", "2024").replace("What", "Tell me what")
    files = []
    for name, convert in (("s", to_swift), ("o", to_openai), ("g", to_sharegpt)):
        files.append(tmp_path / f"{name}.jsonl")
        lines = [json.dumps(convert(row), ensure_ascii=False) for row in rows]
        files[-1].write_text("\n".join([*lines, wrong]), encoding="utf-8")
    own = make(
        tmp_path / "made",
        pipeline_config("energy_expert"),
        templates_file=WORDINGS,
        rows={"sources": ["s", "o", "g"], "made_rows": False, "sources_heldout_share": 0.0},
        sources=files,
    )
    assert own.summary["rows_by_kind"] == {"own": 12}
    key = lambda row: canonical_json(to_swift(row))  # noqa: E731
    assert sorted(map(key, conversations(own))) == sorted(map(key, rows))
    assert own.summary["rejected_by_reason"]["duplicate"] >= 24
    assert sum(own.coverage["calls_by_tool"].values()) > 12
