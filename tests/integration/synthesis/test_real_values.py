"""Tools that know only what there is: their failures are no rows, and real values make some."""

import json
from pathlib import Path

import pytest

from agent_assets.errors import ConfigError, TrainingDataError
from support.synthesis_runs import Made, conversations, make, script_config

DOCUMENTS = script_config(Path(__file__).with_name("documents_server.py"))
KNOWN = {"harvest.docx", "cellar.docx", "loft.docx", "stove.docx", "snow.docx", "mail.docx"}
KNOWN |= {"yard.docx"}


def rows_with(folder: Path, wordings: dict[str, object]) -> Made:
    templates_file = folder / "wordings.yaml"
    templates_file.write_text(json.dumps(wordings), encoding="utf-8")
    return make(folder, DOCUMENTS, templates_file=templates_file)


def calls_of(rows: Made, tool: str) -> list[dict[str, object]]:
    return [
        call.arguments
        for row in conversations(rows)
        for message in row.messages
        for call in message.tool_calls
        if call.name == tool
    ]


def test_failures_sent_as_answers_are_no_rows_and_name_what_is_needed(tmp_path: Path) -> None:
    rows = make(tmp_path, DOCUMENTS, templates_file=None)
    assert not calls_of(rows, "read_document") + calls_of(rows, "count_words")
    needs = rows.summary["needs_values"]
    assert needs["read_document"]["parameters"] == ["document"]
    assert needs["read_document"]["sources"] == {"document": "list_documents"}
    assert needs.keys() == {"read_document", "count_words", "list_documents"}
    assert needs["list_documents"]["empty"] == needs["list_documents"]["calls"]  # kept, and named
    assert calls_of(rows, "list_documents")
    assert "needs real values for document" in rows.coverage["uncovered"]["count_words"]
    assert rows.coverage["needs_values"] == needs


def test_values_come_from_the_results_of_other_tools(tmp_path: Path) -> None:
    rows = rows_with(
        tmp_path,
        {
            "parameters": {
                "shelf": {"from_tool": "list_shelves"},
                "document": {"from_tool": {"tool": "list_documents", "field": "name"}},
            }
        },
    )
    documents = {str(call["document"]) for call in calls_of(rows, "read_document")}
    assert documents and documents <= KNOWN
    assert {call["shelf"] for call in calls_of(rows, "list_documents")} <= {"autumn", "winter"}
    assert calls_of(rows, "count_words")
    assert rows.summary["needs_values"] == {}
    assert rows.coverage["uncovered"].keys() == {"empty_shelf"}
    made_values = json.loads((tmp_path / "questions" / "values.json").read_text("utf-8"))
    assert set(made_values["read_document"]["document"]) == KNOWN


def test_values_of_the_file_serve_every_tool_and_those_of_a_tool_come_first(tmp_path: Path) -> None:
    rows = rows_with(
        tmp_path,
        {
            "parameters": {"document": {"values": ["stove.docx", "yard.docx", "loft.docx"]}},
            "tools": {"count_words": {"parameters": {"document": {"values": ["snow.docx"]}}}},
        },
    )
    assert {call["document"] for call in calls_of(rows, "count_words")} == {"snow.docx"}
    assert {call["document"] for call in calls_of(rows, "read_document")} <= {
        "stove.docx",
        "yard.docx",
        "loft.docx",
    }


def test_a_source_that_gives_nothing_is_named(tmp_path: Path) -> None:
    rows = rows_with(
        tmp_path,
        {
            "tools": {
                "read_document": {
                    "parameters": {
                        "document": {
                            "from_tool": {"tool": "list_documents", "arguments": {"shelf": "x"}}
                        }
                    }
                }
            }
        },
    )
    assert rows.coverage["uncovered"]["read_document"] == (
        "list_documents gives no values for document"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("list_everything", "which no server has"),
        ("empty_shelf", "which changes things"),
        ("list_documents", "takes its own from there"),
    ],
)
def test_a_source_that_cannot_be_one_is_an_error(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rows_with(tmp_path, {"parameters": {"shelf": {"from_tool": source}}})


def test_where_everything_fails_the_error_names_the_parameters(tmp_path: Path) -> None:
    needs = "needs real values for document: count_words, read_document"
    with pytest.raises(TrainingDataError, match=needs):
        make(
            tmp_path,
            DOCUMENTS,
            templates_file=None,
            questions={"per_tool": 8},
            rows={"min_rows": 1000},
        )
