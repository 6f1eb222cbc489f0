"""Stages that take values from tools: what the servers list is a source, and the report says what
is needed.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from agent_assets.engines.local_engines import LocalEngines
from agent_assets.resources.store import StoreResource
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore
from support.yaml_pipelines import assets_of, loaded

STAGES = ("mcp_tool_schema", "questions", "train_jsonl")
DOCUMENTS = Path(__file__).with_name("documents_server.py")
WORDINGS = {
    "parameters": {
        "shelf": {"from_tool": "list_shelves"},
        "document": {"from_tool": {"tool": "list_documents", "field": "name"}},
    }
}


def materialized(folder: Path, wordings: Mapping[str, object]) -> dict[str, Artifact]:
    """The artifacts of a run over the documents server."""
    server = {"command": sys.executable, "args": [str(DOCUMENTS)], "transport": "stdio"}
    attributes = {
        "name": "reader",
        "questions": {"teacher": "scripted", "wordings": "wordings.yaml", "per_tool": 8},
        "train_jsonl": {"teacher": "scripted"},
    }
    files = {"wordings.yaml": json.dumps(wordings)}
    with (
        loaded(attributes, {"mcpServers": {"documents": server}}, files) as definitions,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        result = dg.materialize(
            assets_of(definitions),
            instance=instance,
            selection=[dg.AssetKey(["reader", name]) for name in STAGES],
            resources={
                "store": StoreResource(root=str(folder / "store"), cache=str(folder)),
                "mongo": dg.ResourceDefinition.none_resource(),
                "engines": LocalEngines(environments=str(folder), device="cpu", home=str(folder)),
            },
        )
    assert result.success
    store = ArtifactStore(str(folder / "store"))
    artifacts = {}
    for stage in STAGES:
        key = ArtifactKey("reader", stage)
        (fingerprint,) = store.versions(key)
        artifact = store.find(key, fingerprint)
        assert artifact is not None
        artifacts[stage] = artifact
    return artifacts


@pytest.fixture(autouse=True)
def _without_a_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_values_of_tools_are_a_source_of_the_questions(tmp_path: Path) -> None:
    artifacts = materialized(tmp_path, WORDINGS)
    questions = artifacts["questions"]
    assert "chained" in questions.manifest.inputs
    values = json.loads((questions.path / "values.json").read_text("utf-8"))
    assert "stove.docx" in values["read_document"]["document"]
    assert artifacts["train_jsonl"].manifest.summary["needs_values"] == {}


def test_the_report_and_the_check_say_which_values_are_needed(tmp_path: Path) -> None:
    rows = materialized(tmp_path, {"parameters": {"shelf": {"values": ["autumn", "winter"]}}})[
        "train_jsonl"
    ]
    (coverage,) = [check for check in rows.manifest.checks if check.name == "coverage"]
    assert "read_document: give values for document" in coverage.description
    report = (rows.path / "report.html").read_text("utf-8")
    assert "document: {from_tool: list_documents}" in report
