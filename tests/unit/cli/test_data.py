"""`agent-assets data` and `agent_assets.data` on an installation with two agents."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from agent_assets.cli.data import show_table
from agent_assets.conversations.formats import to_swift
from agent_assets.conversations.messages import Conversation, Message, ToolCall, ToolSchema
from agent_assets.data import load, table, write_table
from agent_assets.errors import ConfigError, StoreError
from agent_assets.planning.history import DATA_VERSION_TAG, FINGERPRINT_TAG
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import ArtifactKey, ArtifactStore
from support.artifacts import add_artifact
from support.reports import report_json

TOOL = ToolSchema("get_time", "The time.", {"type": "object", "properties": {}})
ROWS = [
    to_swift(
        Conversation(
            (
                Message("user", "What time?"),
                Message("assistant", "", (ToolCall("get_time", {}, "1"),)),
                Message("tool", "10:00", tool_call_id="1"),
                Message("assistant", "Ten, 十点."),
            ),
            (TOOL,),
        )
    )
    | {"id": "tools-0000", "kind": "tools", "sources": ["m1", "m2"], "question_ids": ["q"]},
    to_swift(Conversation((Message("user", "Who?"), Message("assistant", "I."))))
    | {"id": "own-1", "kind": "own", "sources": [], "question_ids": ["own-1"]},
]
REJECT = {
    "id": "q2",
    "kind": "tool",
    "split": "train",
    "sources": [],
    "messages": [{"role": "user", "content": "Why?"}],
    "reasons": [
        {"reason": "banned", "detail": "pattern 1"},
        {"reason": "too_long", "detail": "about 9 tokens"},
    ],
}
COVERAGE = {"calls_by_tool": {"get_time": 1}, "uncovered": {"get_day": "no question asks for it"}}


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENT_ASSETS_HOME", str(home))
        settings = load_settings()
        prepare_dagster_home(settings)
        store = ArtifactStore(settings.store)
        rows: dict[str, str | bytes] = {
            "train.jsonl": lines(*ROWS),
            "rejects.jsonl": lines(REJECT),
            "coverage.json": json.dumps(COVERAGE),
        }
        report: dict[str, str | bytes] = {
            "report.json": report_json({"base": {"answered": 0.5}, "sft": {"answered": 1.0}})
        }
        with open_instance(settings) as instance:
            instance.add_dynamic_partitions("elders", ["ann~40example.org"])
            for partition in (None, "ann~40example.org"):
                pipeline = "gas" if partition is None else "elders"
                for asset, files in (("train_jsonl", rows), ("eval_report", report)):
                    add_artifact(store, ArtifactKey(pipeline, asset, partition), "f1", files)
                    instance.report_runless_asset_event(
                        dg.AssetMaterialization(
                            [pipeline, asset],
                            partition=partition,
                            tags={FINGERPRINT_TAG: "f1", DATA_VERSION_TAG: "v"},
                        )
                    )
            # There, and never materialized: another version of it may be.
            add_artifact(store, ArtifactKey("draft", "train_jsonl", None), "f2", rows)
        yield settings


def test_rows_of_all_agents(installation: Settings) -> None:
    rows = table("rows", installation)
    assert list(rows["pipeline"]) == ["elders", "elders", "gas", "gas"]
    assert rows["elder"][0] == "ann@example.org"
    first = rows.iloc[0]
    assert (first["question"], first["answer"], first["tools"], first["calls"]) == (
        "What time?",
        "Ten, 十点.",
        ["get_time"],
        1,
    )
    assert len(rows.query("kind == 'own'")) == 2


def test_rejects_coverage_and_scores(installation: Settings) -> None:
    assert list(table("rejects", installation)["reason"]) == ["banned", "too_long"] * 2
    coverage = table("coverage", installation).set_index(["pipeline", "tool"])
    assert coverage.loc[("gas", "get_time"), "calls"] == 1
    assert coverage.loc[("gas", "get_day"), "uncovered"] == "no question asks for it"
    scores = table("scores", installation)
    assert scores.query("pipeline == 'gas' and variant == 'sft'")["score"].tolist() == [1.0]


def test_one_artifact_for_a_notebook(installation: Settings) -> None:
    assert len(load("gas", "train_jsonl")) == 2
    assert len(load("elders", "eval_report", "ann@example.org")) == 2
    with pytest.raises(StoreError, match=r"draft/train_jsonl.* is not materialized"):
        load("draft", "train_jsonl")
    with pytest.raises(ConfigError, match="load one of train_jsonl, eval_report"):
        load("gas", "merged_model")


def test_a_filtered_table_is_shown_or_written(
    installation: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_table(installation, "rows", "calls > 0 and pipeline == 'gas'", None)
    shown = capsys.readouterr()
    assert "Ten, 十点." in shown.out and "own-1" not in shown.out
    assert shown.err == "1 lines\n"
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        show_table(installation, "rows", "pipeline == 'gas'", tmp_path / name)
    written = pl.read_parquet(tmp_path / "t.parquet")
    assert written["sources"].to_list() == [["m1", "m2"], []]
    assert pl.read_ndjson(tmp_path / "t.jsonl")["answer"].to_list() == ["Ten, 十点.", "I."]
    assert pl.read_csv(tmp_path / "t.csv").height == 2


def test_what_is_wrong_is_said(installation: Settings, tmp_path: Path) -> None:
    for where in ("reward > 1", "kind ==", "calls > 'x'"):
        with pytest.raises(ConfigError, match=r"does not filter this table.*id, kind, question"):
            show_table(installation, "rows", where, None)
    with pytest.raises(ConfigError, match=r"t\.xlsx is none of the forms"):
        write_table(table("rows", installation), tmp_path / "t.xlsx")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_table(table("rows", installation), tmp_path / "absent" / "t.csv")


def test_an_installation_without_agents_has_empty_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_ASSETS_HOME", str(tmp_path))
    show_table(load_settings(), "scores", "score > 0.5", tmp_path / "t.parquet")
    assert "0 lines" in capsys.readouterr().out
    assert pl.read_parquet(tmp_path / "t.parquet").height == 0
